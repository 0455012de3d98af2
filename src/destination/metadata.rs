//! A person's metadata as the JSON that is sent with a create; knows no vendor.

use serde_json::{Map, Value};

/// The table as JSON. Dates become the text they were typed as, which is ISO 8601.
pub(super) fn json(table: &toml::Table) -> Map<String, Value> {
    table
        .iter()
        .map(|(key, value)| (key.clone(), value_json(value)))
        .collect()
}

fn value_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(yes) => (*yes).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.iter().map(value_json).collect(),
        toml::Value::Table(table) => json(table).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_typed_arrives_as_json() {
        let table =
            "tags = [\"a\"]\npublish_start_date = 2026-01-02T03:04:05Z\n[custom_params]\nx = 1";
        let table: toml::Table = table.parse().unwrap();
        assert_eq!(
            Value::from(super::json(&table)),
            json!({"tags": ["a"], "publish_start_date": "2026-01-02T03:04:05Z", "custom_params": {"x": 1}})
        );
    }
}
