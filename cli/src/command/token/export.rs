//! `tessera token export`: the inventory as CSV.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tessera_client::Client;

use crate::output;

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The file; standard output unless given. A file that is there already is not overwritten
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only tokens in this realm
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Only tokens of this owner
    #[arg(long, value_name = "LOGIN")]
    owner: Option<String>,
    /// Only serial numbers like this; `*` is a wild card
    #[arg(long, value_name = "PATTERN")]
    serial: Option<String>,
}

impl Export {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<()> {
        let mut parameters = vec![("outform", "csv"), ("sortby", "TokenSerialnumber")];
        let filters = [("viewrealm", &self.realm), ("user", &self.owner), ("serial", &self.serial)];
        parameters.extend(filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        let text = client.fetch_text("/admin/show", &parameters).await?;
        let Some(path) = self.output else {
            output::raw(text.as_bytes());
            return Ok(());
        };
        let mut file =
            std::fs::File::create_new(&path).with_context(|| format!("cannot create {}", path.display()))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
