//! The query language of JW Player's `q`: `field: value`, quoted values, `*` at the end, lists in
//! parentheses, `AND`, `OR`, `NOT`; pure.

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Query {
    Field { name: String, value: String },
    All(Vec<Query>),
    Any(Vec<Query>),
    Not(Box<Query>),
}

/// What can be asked for.
const FIELDS: [&str; 10] = [
    "id",
    "external_id",
    "status",
    "title",
    "description",
    "author",
    "category",
    "permalink",
    "tags",
    "language",
];

impl Query {
    /// Whether something matches of which these are the values of a field.
    pub(super) fn matches(&self, values: &impl Fn(&str) -> Vec<String>) -> bool {
        match self {
            Self::Field { name, value } => {
                values(name)
                    .iter()
                    .any(|have| match value.strip_suffix('*') {
                        Some(begin) => have.to_lowercase().starts_with(&begin.to_lowercase()),
                        None => have.eq_ignore_ascii_case(value),
                    })
            }
            Self::All(all) => all.iter().all(|query| query.matches(values)),
            Self::Any(any) => any.iter().any(|query| query.matches(values)),
            Self::Not(query) => !query.matches(values),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Colon,
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            ':' => out.push(Token::Colon),
            '(' => out.push(Token::Open),
            ')' => out.push(Token::Close),
            '"' => {
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => value.extend(chars.next()),
                        Some(c) => value.push(c),
                        None => return Err("a quote is not closed".to_owned()),
                    }
                }
                out.push(Token::Quoted(value));
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) =
                    chars.next_if(|c| !c.is_whitespace() && !matches!(c, ':' | '(' | ')' | '"'))
                {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

/// How deep parentheses and `NOT` may be nested.
const DEEPEST: usize = 32;

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Query, String> {
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
    };
    let query = parser.any(0)?;
    match parser.tokens.next() {
        None => Ok(query),
        Some(token) => Err(format!("{token:?} is not expected")),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn word(&mut self, wanted: &str) -> bool {
        let is = |token: &Token| matches!(token, Token::Word(word) if word == wanted);
        self.tokens.next_if(is).is_some()
    }

    fn any(&mut self, depth: usize) -> Result<Query, String> {
        if depth > DEEPEST {
            return Err("it is nested too deep".to_owned());
        }
        let mut any = vec![self.all(depth)?];
        while self.word("OR") {
            any.push(self.all(depth)?);
        }
        Ok(one_or(any, Query::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Query, String> {
        let mut all = vec![self.one(depth)?];
        loop {
            let and = self.word("AND");
            let ends = match self.tokens.peek() {
                None | Some(Token::Close) => true,
                Some(token) => *token == Token::Word("OR".to_owned()),
            };
            if ends && !and {
                return Ok(one_or(all, Query::All));
            }
            all.push(self.one(depth)?);
        }
    }

    fn one(&mut self, depth: usize) -> Result<Query, String> {
        if self.word("NOT") {
            if depth > DEEPEST {
                return Err("it is nested too deep".to_owned());
            }
            return Ok(Query::Not(Box::new(self.one(depth + 1)?)));
        }
        match self.tokens.next() {
            Some(Token::Open) => {
                let inner = self.any(depth + 1)?;
                self.close()?;
                Ok(inner)
            }
            Some(Token::Word(name)) => {
                if !FIELDS.contains(&name.as_str()) {
                    return Err(format!("{name:?} is no field"));
                }
                if self.tokens.next() != Some(Token::Colon) {
                    return Err(format!("a colon is missing after {name:?}"));
                }
                self.values(&name)
            }
            _ => Err("a field is missing".to_owned()),
        }
    }

    fn values(&mut self, name: &str) -> Result<Query, String> {
        let value = |token| match token {
            Some(Token::Word(value) | Token::Quoted(value)) => Ok(Query::Field {
                name: name.to_owned(),
                value,
            }),
            _ => Err(format!("a value is missing after {name:?}")),
        };
        if self.tokens.next_if_eq(&Token::Open).is_none() {
            return value(self.tokens.next());
        }
        let mut any = vec![value(self.tokens.next())?];
        while self.word("OR") {
            any.push(value(self.tokens.next())?);
        }
        self.close()?;
        Ok(Query::Any(any))
    }

    fn close(&mut self) -> Result<(), String> {
        match self.tokens.next() {
            Some(Token::Close) => Ok(()),
            _ => Err("a parenthesis is not closed".to_owned()),
        }
    }
}

fn one_or(mut queries: Vec<Query>, many: fn(Vec<Query>) -> Query) -> Query {
    if queries.len() == 1 {
        queries.remove(0)
    } else {
        many(queries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(query: &str) -> bool {
        parse(query).unwrap().matches(&|field| {
            match field {
                "id" => vec!["abcd1234"],
                "external_id" => vec!["reelhaul-1:x y"],
                "tags" => vec!["a", "b"],
                _ => vec![],
            }
            .into_iter()
            .map(str::to_owned)
            .collect()
        })
    }

    #[test]
    fn values_lists_and_connectives_match_as_documented() {
        assert!(matches(r#"external_id:"reelhaul-1:x y""#));
        assert!(!matches(r#"external_id:"reelhaul-1""#));
        assert!(matches("external_id: reelhaul*"));
        assert!(matches("id: (zzz OR abcd1234)"));
        assert!(matches("tags: a AND tags: b"));
        assert!(!matches("tags: a AND NOT tags: b"));
        assert!(matches("(id: x OR tags: b) AND id: abcd1234"));
        assert!(!matches("title: x"));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for bad in [
            "",
            "id",
            "id:",
            "nonsense: x",
            "id: \"x",
            "(id: x",
            "id: x )",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"NOT ".repeat(100_000)).is_err());
    }
}
