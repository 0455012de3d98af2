//! The ids of one account: where an id is made of the account's key, each key makes another one.

use rusqlite::params;

use super::{
    Sqlite,
    core::{Core, account},
    schema::in_transaction,
};
use crate::{
    error::Result,
    ids::{AccountId, MediaId},
};

impl Sqlite {
    /// The accounts that this one may be under another key, each with its newest media objects, `most` of
    /// them at the most; none where the ledger knows uploads to this one. Blocks.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    pub fn may_be(
        &self,
        account: &AccountId,
        most: usize,
    ) -> Result<Vec<(AccountId, Vec<MediaId>)>> {
        let host = account.host().to_owned();
        self.read_blocking(move |core| core.may_be(&host, most))
    }

    /// From now on this account is that one, under another key. Blocks.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be written.
    pub fn is_account(&self, other: AccountId) -> Result<()> {
        self.read_blocking(move |core| core.is_account(&other))
    }

    /// All ids of this account. Blocks.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    pub fn account_ids(&self) -> Result<Vec<AccountId>> {
        self.read_blocking(|core| {
            let mut sql = core.sql("SELECT text FROM account WHERE ?1 IN (id, same)")?;
            let ids = sql.query_map([core.account], |row| row.get(0).map(saved))?;
            ids.collect()
        })
    }
}

fn saved(text: String) -> AccountId {
    AccountId::saved(text)
}

impl Core {
    fn may_be(&self, host: &str, most: usize) -> rusqlite::Result<Vec<(AccountId, Vec<MediaId>)>> {
        let is_known = "SELECT 1 FROM accepted WHERE account = ?1 \
             UNION ALL SELECT 1 FROM started WHERE account = ?1";
        if self.sql(is_known)?.exists([self.account])? {
            return Ok(Vec::new());
        }
        let others: Vec<(i64, String)> = self
            .sql("SELECT id, text FROM account WHERE same IS NULL AND id != ?1 ORDER BY id DESC")?
            .query_map([self.account], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let of_host = others
            .into_iter()
            .filter(|(_, text)| text.starts_with(host));
        let mut found = Vec::new();
        for (number, text) in of_host {
            let media = self.newest_media(number, most)?;
            if !media.is_empty() {
                found.push((saved(text), media));
            }
        }
        Ok(found)
    }

    fn newest_media(&self, account: i64, most: usize) -> rusqlite::Result<Vec<MediaId>> {
        let mut sql = self.sql(
            "SELECT media, at FROM accepted WHERE account = ?1 AND media NOT NULL \
             UNION ALL SELECT media, at FROM started WHERE account = ?1 AND media NOT NULL \
             AND state IN (0, 1) ORDER BY at DESC LIMIT ?2",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let media = sql.query_map(params![account, most], |row| row.get::<_, String>(0))?;
        media.map(|media| media.map(MediaId::from)).collect()
    }

    fn is_account(&mut self, other: &AccountId) -> rusqlite::Result<()> {
        let number = in_transaction(&self.connection, || {
            let number = account(&self.connection, other)?;
            self.sql("UPDATE account SET same = ?2 WHERE id = ?1")?
                .execute([self.account, number])?;
            Ok(number)
        })?;
        self.account = number;
        Ok(())
    }
}
