//! What the README says of the tests is true.

use std::{collections::BTreeSet, fs, path::Path};

/// All that stands in backticks and reads like the name of a test.
fn names(readme: &str) -> BTreeSet<&str> {
    let quoted = readme.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        text.matches('_').count() >= 3
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
    };
    quoted.filter(is_name).collect()
}

#[test]
fn every_test_that_the_readme_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: String = ["src", "tests"]
        .into_iter()
        .flat_map(|folder| walkdir::WalkDir::new(root.join(folder)))
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let names = names(&readme);
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "not there: {missing:#?}");
}
