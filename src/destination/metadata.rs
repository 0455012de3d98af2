//! A person's metadata as the JSON that is sent with a create; knows no vendor.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// For `#[serde(deserialize_with = …)]`: a TOML table as JSON. Dates become the text they were typed as,
/// which is ISO 8601.
pub(super) fn from_toml<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    toml::Table::deserialize(deserializer).map(json)
}

fn json(table: toml::Table) -> Map<String, Value> {
    table
        .into_iter()
        .map(|(key, value)| (key, value_json(value)))
        .collect()
}

fn value_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(yes) => yes.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(value_json).collect(),
        toml::Value::Table(table) => json(table).into(),
    }
}

/// Names and values as a person reads them: the title first, what lies deeper by a name with dots, lists of plain
/// values in one line.
#[must_use]
pub fn in_words(metadata: &Map<String, Value>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in metadata {
        add_lines(&mut out, name.clone(), value);
    }
    out.sort_by_key(|(name, _)| name != "title");
    out
}

fn add_lines(out: &mut Vec<(String, String)>, name: String, value: &Value) {
    match value {
        Value::Object(inner) => {
            for (key, value) in inner {
                add_lines(out, format!("{name}.{key}"), value);
            }
        }
        // A list of names and values, as api.video wants its own.
        Value::Array(pairs)
            if !pairs.is_empty() && pairs.iter().all(|pair| pair["key"].is_string()) =>
        {
            for pair in pairs {
                add_lines(
                    out,
                    format!("{name}.{}", plain(&pair["key"])),
                    &pair["value"],
                );
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            out.push((name, items.join(", ")));
        }
        plain_one => out.push((name, plain(plain_one))),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_typed_arrives_as_json() {
        let table =
            "tags = [\"a\"]\npublish_start_date = 2026-01-02T03:04:05Z\n[custom_params]\nx = 1";
        let table = toml::Deserializer::parse(table).unwrap();
        assert_eq!(
            Value::from(from_toml(table).unwrap()),
            json!({"tags": ["a"], "publish_start_date": "2026-01-02T03:04:05Z", "custom_params": {"x": 1}})
        );
    }

    #[test]
    fn metadata_reads_line_by_line() {
        let metadata = json!({
            "title": "Wedding", "tags": ["family", "2019"], "public": false,
            "custom_params": {"camera": "A", "deep": {"er": 1}},
            "metadata": [{"key": "tape", "value": "17"}, {"key": "reelhaul", "value": "m"}],
            "nothing": [],
        });
        let lines: Vec<String> = in_words(metadata.as_object().unwrap())
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "title: Wedding",
                "custom_params.camera: A",
                "custom_params.deep.er: 1",
                "metadata.tape: 17",
                "metadata.reelhaul: m",
                "nothing: ",
                "public: false",
                "tags: family, 2019",
            ]
        );
    }
}
