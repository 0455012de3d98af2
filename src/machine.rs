//! Which machine this is.

use std::fs;

use sha2::{Digest as _, Sha256};

use crate::format::hex;

/// Where systemd and D-Bus keep a machine's id.
const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// This machine's id; `None` where it has none. It is made of the system's own, which `machine-id(5)` asks
/// not to give away.
#[must_use]
pub fn machine_id() -> Option<String> {
    // A build for tests believes what it is told.
    #[cfg(debug_assertions)]
    if let Ok(id) = std::env::var("REELHAUL_MACHINE_ID") {
        return Some(id).filter(|id| !id.is_empty());
    }
    let found = FILES
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())?;
    of_system(&found)
}

/// The id made of what such a file says. One that is still to be set up is none.
fn of_system(said: &str) -> Option<String> {
    let said = said.trim();
    let is_set = said.len() == 32 && said.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_set {
        return None;
    }
    let digest = Sha256::new()
        .chain_update(b"reelhaul machine\0")
        .chain_update(said)
        .finalize();
    Some(hex(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_id_that_is_not_the_systems_own() {
        let system = "0123456789abcdef0123456789abcdef";
        let id = of_system(&format!("{system}\n")).unwrap();
        assert_eq!(id.len(), 16);
        assert!(!system.contains(&id));
        assert_eq!(of_system(system), Some(id.clone()));
        assert_ne!(of_system(&system.replace('0', "1")), Some(id));
    }

    #[test]
    fn a_machine_that_is_not_set_up_has_none() {
        for said in ["", "\n", "uninitialized\n", "0123", &"x".repeat(32)] {
            assert_eq!(of_system(said), None, "{said:?}");
        }
    }
}
