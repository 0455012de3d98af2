//! The accounts that the uploads of a session were started at: few, so that each upload holds two bytes
//! instead of a text.

use crate::ids::AccountId;

/// Which of the session's accounts; the default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountIndex(u16);

/// The accounts of a session.
#[derive(Debug, Default)]
pub struct Accounts(Vec<AccountId>);

impl Accounts {
    /// The index of this account, which is new if need be.
    pub fn index(&mut self, account: Option<&AccountId>) -> AccountIndex {
        let Some(account) = account else {
            return AccountIndex::default();
        };
        let known = self.0.iter().position(|known| known == account);
        let position = known.unwrap_or_else(|| {
            self.0.push(account.clone());
            self.0.len() - 1
        });
        // A session that names more accounts than that was not written by this program.
        AccountIndex(u16::try_from(position + 1).unwrap_or_default())
    }

    /// Whether there is any other account than this one.
    #[must_use]
    pub fn has_other_than(&self, account: &AccountId) -> bool {
        self.0.iter().any(|known| known != account)
    }

    /// The account with this index.
    #[must_use]
    pub fn get(&self, AccountIndex(index): AccountIndex) -> Option<&AccountId> {
        self.0.get(usize::from(index).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_kept_once_and_found_by_its_index() {
        let mut accounts = Accounts::default();
        let ids = ["jwplayer:a:443/x", "jwplayer:a:443/y"].map(AccountId::saved);
        let [one, two] = ids.each_ref().map(|id| accounts.index(Some(id)));
        assert_eq!(accounts.index(Some(&ids[0])), one);
        assert_eq!(accounts.get(two), Some(&ids[1]));
        let none = accounts.index(None);
        assert_eq!(accounts.get(none), None);
    }
}
