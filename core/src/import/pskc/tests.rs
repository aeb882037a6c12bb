//! The examples of RFC 6030, figures 2, 6 and 7, with the values of reference tokens 14.7.

use super::super::shown;
use super::*;

const SEED: &str = "3132333435363738393031323334353637383930";

/// Figure 2: a plain secret, a device, a counter.
const PLAIN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" Id="exampleID1" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">
  <KeyPackage>
    <DeviceInfo><Manufacturer>Manufacturer</Manufacturer><SerialNo>987654321</SerialNo></DeviceInfo>
    <CryptoModuleInfo><Id>CM_ID_001</Id></CryptoModuleInfo>
    <Key Id="12345678" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
      <Issuer>Issuer</Issuer>
      <AlgorithmParameters><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>
      <Data>
        <Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=
        </PlainValue></Secret>
        <Counter><PlainValue>42</PlainValue></Counter>
      </Data>
    </Key>
  </KeyPackage>
</KeyContainer>"#;

/// Figures 6 and 7 differ in how the key is known.
fn encrypted(key: &str, mac_key: &str, secret: &str, mac: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<pskc:KeyContainer Version="1.0" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc"
    xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
  <pskc:EncryptionKey>{key}</pskc:EncryptionKey>
  <pskc:MACMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1">
    <pskc:MACKey>
      <xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>
      <xenc:CipherData><xenc:CipherValue>{mac_key}</xenc:CipherValue></xenc:CipherData>
    </pskc:MACKey>
  </pskc:MACMethod>
  <pskc:KeyPackage>
    <pskc:DeviceInfo><pskc:SerialNo>987654321</pskc:SerialNo></pskc:DeviceInfo>
    <pskc:Key Id="12345678" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
      <pskc:AlgorithmParameters>
        <pskc:Suite>HMAC-SHA256</pskc:Suite><pskc:ResponseFormat Encoding="DECIMAL" Length="8"/>
      </pskc:AlgorithmParameters>
      <pskc:Data>
        <pskc:Secret>
          <pskc:EncryptedValue>
            <xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>
            <xenc:CipherData><xenc:CipherValue>{secret}</xenc:CipherValue></xenc:CipherData>
          </pskc:EncryptedValue>
          <pskc:ValueMAC>{mac}</pskc:ValueMAC>
        </pskc:Secret>
        <pskc:TimeInterval><pskc:PlainValue>60</pskc:PlainValue></pskc:TimeInterval>
      </pskc:Data>
    </pskc:Key>
  </pskc:KeyPackage>
</pskc:KeyContainer>"#
    )
}

fn by_key() -> String {
    encrypted(
        "<ds:KeyName>Pre-shared-key</ds:KeyName>",
        "ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX",
        "AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv",
        "Su+NvtQfmvfJzF6bmQiJqoLRExc=",
    )
}

fn by_password() -> String {
    let method = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf2";
    let key = format!(
        "<xenc11:DerivedKey xmlns:xenc11=\"http://www.w3.org/2009/xmlenc11#\">\
         <xenc11:KeyDerivationMethod Algorithm=\"{method}\"><pkcs5:PBKDF2-params xmlns:pkcs5=\"x\">\
         <Salt><Specified>Ej7/PEpyEpw=</Specified></Salt><IterationCount>1000</IterationCount>\
         <KeyLength>16</KeyLength><PRF/></pkcs5:PBKDF2-params></xenc11:KeyDerivationMethod>\
         </xenc11:DerivedKey>"
    );
    encrypted(
        &key,
        "2GTTnLwM3I4e5IO5FkufoOEiOhNj91fhKRQBtBJYluUDsPOLTfUvoU2dStyOwYZx",
        "oTvo+S22nsmS2Z/RtcoF8Hfh+jzMe0RkiafpoDpnoZTjPYZu6V+A4aEn032yCr4f",
        "LP6xMvjtypbfT9PdkJhBZ+D6O4w=",
    )
}

fn key() -> Protection {
    Protection::Key(SecretText::from("12345678901234567890123456789012"))
}

#[track_caller]
fn problem(text: &str, protection: &Protection) -> String {
    parse(text, protection, false).unwrap_err().to_string()
}

#[test]
fn plain_secrets_are_read() {
    let parsed = parse(PLAIN, &Protection::Plain, false).unwrap();
    assert_eq!(shown(&parsed), [format!("3 hmac 987654321 {SEED} len=8 count=42 desc=imported")]);
    let without_device = PLAIN
        .replace("<SerialNo>987654321</SerialNo>", "")
        .replace("<Manufacturer>Manufacturer</Manufacturer>", "");
    let parsed = parse(&without_device, &Protection::Plain, false).unwrap();
    assert!(shown(&parsed)[0].contains("hmac 12345678 "), "{:?}", shown(&parsed));
}

#[test]
fn secrets_encrypted_with_a_key_are_read() {
    let expected = [format!("11 totp 987654321 {SEED} len=8 hash=sha256 step=60 desc=imported")];
    assert_eq!(shown(&parse(&by_key(), &key(), false).unwrap()), expected);
    let wrong = Protection::Key(SecretText::from("12345678901234567890123456789013"));
    assert!(problem(&by_key(), &wrong).contains("The MAC value for 987654321 does not fit"));
    assert!(problem(&by_key(), &Protection::Plain).contains("is encrypted"));
    assert!(problem(&by_key(), &Protection::Key(SecretText::from("xyz"))).contains("not hexadecimal"));
    assert!(problem(&by_key(), &Protection::Key(SecretText::from("1234"))).contains("16, 24 or 32"));
    assert!(problem(&by_key(), &Protection::Password(SecretText::from("qwerty"))).contains("with a key"));
}

#[test]
fn secrets_encrypted_with_a_password_are_read() {
    let qwerty = Protection::Password(SecretText::from("qwerty"));
    assert!(shown(&parse(&by_password(), &qwerty, false).unwrap())[0].contains(SEED));
    let wrong = Protection::Password(SecretText::from("qwertz"));
    assert!(problem(&by_password(), &wrong).contains("does not fit"));
    for bad in ["short", &"x".repeat(65), "passwörd"] {
        let bad = Protection::Password(SecretText::from(bad));
        assert!(problem(&by_password(), &bad).contains("6 to 64 ASCII"));
    }
    assert!(problem(&by_password(), &key()).contains("with a password"));
    let slow = by_password().replace(">1000<", ">1000000000<");
    assert!(problem(&slow, &qwerty).contains("out of bounds"));
    let other = by_password().replace("#pbkdf2", "#scrypt");
    assert!(problem(&other, &qwerty).contains("not pbkdf2"));
}

/// Reference tokens 14.7, the OCRA card file.
#[test]
fn card_with_a_suite_is_read() {
    let text = encrypted(
        "<ds:KeyName>k</ds:KeyName>",
        "OdudVkgsZywiwE1HqPGOJtHmBl+6HzJkylgDrZU9gcflyCddzO+cxEwzYIlOiwrE",
        "VHdEP8TXnMmE3yiAnB5Fx+SQ85UXCNAxH7IyOixJpUZHMk9GTdFYWNsxZp8jVpfp",
        "uQ1Bef+XVXHQoW4ZzyQ/cv/9zYA=",
    )
    .replace("pskc:totp\"", "pskc:OCRA\"")
    .replace("HMAC-SHA256", "OCRA-1:HOTP-SHA1-6:QN08");
    let key = Protection::Key(SecretText::from("4A057F6AB6FCB57AB5408E46A9835E68"));
    let expected = "11 ocra2 987654321 ec63936268e7e86637e72c81d0a54e3b649754c8 suite=OCRA-1:HOTP-SHA1-6:QN08 \
                    desc=imported";
    assert_eq!(shown(&parse(&text, &key, false).unwrap()), [expected]);
}

#[test]
fn what_is_not_supported_is_named() {
    let changed = |from: &str, to: &str| by_key().replace(from, to);
    for (text, expected) in [
        (changed("#hmac-sha1", "#hmac-sha256"), "not hmac-sha1"),
        (changed("xmlenc#aes128-cbc", "xmlenc#tripledes-cbc"), "not encrypted with aes128-cbc"),
        (changed("Su+NvtQf", "AAAAAAAA"), "does not fit"),
        (changed("<pskc:ValueMAC>Su+NvtQfmvfJzF6bmQiJqoLRExc=</pskc:ValueMAC>", ""), "does not fit"),
        (changed("pskc:totp", "pskc:securid"), "'securid' is not known"),
        (changed("Length=\"8\"", "Length=\"x\""), "is not a number"),
        (changed("pskc:MACMethod", "pskc:Other"), "no MACMethod"),
        (changed("pskc:EncryptionKey", "pskc:Other"), "no EncryptionKey"),
        (changed("pskc:KeyPackage", "pskc:Other"), "no KeyPackage"),
        (changed("pskc:KeyContainer", "pskc:Other"), "not KeyContainer"),
        (changed("AlgorithmParameters", "Other"), "no AlgorithmParameters"),
    ] {
        let message = problem(&text, &key());
        assert!(message.contains(expected), "{message}");
    }
    let both = PLAIN.replace(
        "</PlainValue></Secret>",
        "</PlainValue><EncryptedValue><CipherData><CipherValue>AAAA</CipherValue></CipherData></EncryptedValue>\
         </Secret>",
    );
    assert_eq!(parse(&both, &Protection::Plain, false).unwrap().skipped.len(), 1);
    let broken = PLAIN.replace("MTIz", "M!Iz");
    assert_eq!(problem(&broken, &Protection::Plain), "line 6: Data/Secret/PlainValue is not base64");
}

#[test]
fn serials_are_checked_on_request() {
    let named = |serial: &str| PLAIN.replace("987654321", serial);
    for (serial, rows) in [("FT1a0123abCD", 1), ("FT1a0123abC", 0), ("F-1a0123abCD", 0), ("FT1a0123abCX", 0)]
    {
        let parsed = parse(&named(serial), &Protection::Plain, true).unwrap();
        assert_eq!((parsed.rows.len(), parsed.skipped.len()), (rows, 1 - rows), "{serial}");
    }
}

#[test]
fn feitian_has_its_own_names() {
    let text = PLAIN
        .replace("KeyPackage", "Device")
        .replace("<Key Id=", "<Key KeyId=")
        .replace(
            "Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:hotp\"",
            "KeyAlgorithm=\"http://x/pskc#totp\"",
        )
        .replace("KeyContainer", "keyContainer");
    let parsed = parse_feitian(&text).unwrap();
    assert_eq!(shown(&parsed), [format!("3 totp 987654321 {SEED} len=8 count=42 desc=imported")]);
}
