//! `tessera token init`: enrolling a token of any type.

use clap::Args;
use serde_json::{Map, Value, json};
use tessera_client::{Client, InitRequest, Secret};

use super::OwnerOptions;
use crate::output::{self, Format};

/// Shown by `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tessera token init --type hmac --owner alice --realm demo --genkey --pin 1234
  tessera token init --type totp --otpkey 3132333435363738393031323334353637383930 --hashlib sha256 --digits 8
  tessera token init --type motp --otpkey 0123456789abcdef --device-pin 6666 --owner alice
  tessera token init --type pw --otpkey 'correct horse' --once --owner alice
  tessera token init --type spass --pin 'battery staple' --owner alice
  tessera token init --type dpw --otpkey 12341234123412341234123412341234 --owner alice
  tessera token init --type yubikey --otpkey 9163508031b20d2fbb1868954e041729 --public-uid ecebeeejedecebeg
  tessera token init --type yubico --yubico-id vvincredible --owner alice
  tessera token init --type forward --forward-to OATH0001 --owner alice
  tessera token init --type ocra2 --genkey --suite OCRA-1:HOTP-SHA256-8:QN08 --owner alice
  tessera token init --type ocra2 --genkey --shared-secret --owner alice";

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Type of the token: hmac, totp, motp, pw, spass, dpw, yubikey, yubico, ocra2 or forward
    #[arg(long = "type", value_name = "TYPE", default_value = "hmac")]
    token_type: String,
    /// Serial number; generated unless given
    #[arg(long)]
    serial: Option<String>,
    /// The seed: hexadecimal digits; the text of a dpw; the password of a pw
    #[arg(long, value_name = "SEED", conflicts_with = "genkey")]
    otpkey: Option<String>,
    /// Has the server generate the seed, which is shown once
    #[arg(long)]
    genkey: bool,
    /// Digits of the OTP
    #[arg(long, value_name = "NUMBER")]
    digits: Option<u32>,
    /// Hash: sha1, sha256 or sha512
    #[arg(long, value_name = "HASH")]
    hashlib: Option<String>,
    /// PIN that goes before the OTP
    #[arg(long)]
    pin: Option<String>,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    of_type: OfType,
    #[command(flatten)]
    owner: OwnerOptions,
}

/// What single types need.
#[derive(Args, Debug)]
struct OfType {
    /// totp: seconds of a time step
    #[arg(long, value_name = "SECONDS")]
    time_step: Option<u32>,
    /// motp, ocra2: the PIN that is typed into the device
    #[arg(long, value_name = "PIN")]
    device_pin: Option<String>,
    /// pw, spass: good for one successful login
    #[arg(long)]
    once: bool,
    /// yubikey: the public identity, modhex characters in front of every OTP
    #[arg(long, value_name = "MODHEX")]
    public_uid: Option<String>,
    /// forward: the token whose OTPs are taken
    #[arg(long, value_name = "SERIAL")]
    forward_to: Option<String>,
    /// yubico: the 12 characters in front of every OTP
    #[arg(long, value_name = "ID")]
    yubico_id: Option<String>,
    /// ocra2: the suite, for example OCRA-1:HOTP-SHA256-8:QN08
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// ocra2: first phase of a roll-out, shows the shared secret for the app
    #[arg(long, requires = "genkey")]
    shared_secret: bool,
    /// ocra2: second phase of a roll-out, with the code of the app
    #[arg(long, value_name = "CODE", conflicts_with = "shared_secret")]
    activation_code: Option<String>,
    /// ocra2: what the challenge of the second phase is about
    #[arg(long, value_name = "TEXT", requires = "activation_code")]
    message: Option<String>,
}

impl OfType {
    /// The parameters by the server's names.
    fn parameters(self, token_type: &str) -> Vec<(String, String)> {
        let is_ocra = token_type.eq_ignore_ascii_case("ocra2");
        let present = |is_set: bool| is_set.then(|| "1".to_owned());
        let all = [
            ("timeStep", self.time_step.map(|step| step.to_string())),
            (if is_ocra { "ocrapin" } else { "otppin" }, self.device_pin),
            ("onetime", present(self.once)),
            ("public_uid", self.public_uid),
            ("forward.serial", self.forward_to),
            ("yubico.tokenid", self.yubico_id),
            ("ocrasuite", self.suite),
            ("sharedsecret", present(self.shared_secret)),
            ("activationcode", self.activation_code),
            ("message", self.message),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Init {
    pub(super) async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let extra = self.of_type.parameters(&self.token_type);
        let request = InitRequest {
            user: self.owner.user(),
            token_type: self.token_type,
            serial: self.serial,
            otpkey: self.otpkey.map(Secret::new),
            genkey: self.genkey,
            otplen: self.digits,
            hashlib: self.hashlib,
            pin: self.pin.map(Secret::new),
            description: self.description,
            extra,
        };
        let token = client.init_token(&request).await?;
        let shown = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let (seed, url) = (shown(&token.otpkey), shown(&token.enrollment_url));
        let further = further(&token.detail);
        match format {
            Format::Json => {
                let mut shown = json!({ "serial": token.serial, "otpkey": seed, "enrollment_url": url });
                if let Some(members) = shown.as_object_mut() {
                    members.extend(further.into_iter().map(|(name, text)| (name, text.into())));
                }
                output::json(&shown)
            }
            Format::Text => {
                output::line(&token.serial);
                for text in seed.iter().chain(&url) {
                    output::line(text);
                }
                for (name, text) in further {
                    output::line(&format!("{name}: {text}"));
                }
                Ok(())
            }
        }
    }
}

/// What a single type told: its plain texts.
fn further(detail: &Map<String, Value>) -> Vec<(String, String)> {
    detail
        .iter()
        .filter(|(name, _)| *name != "serial")
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_type_are_told_and_images_are_not() {
        let detail = json!({
            "serial": "S", "url": "", "sharedsecret": "00", "ocraurl": { "value": "x", "img": "y" },
        });
        let told = further(detail.as_object().unwrap());
        assert_eq!(told, [("sharedsecret".to_owned(), "00".to_owned())]);
    }
}
