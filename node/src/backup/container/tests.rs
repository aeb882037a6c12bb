use zeroize::Zeroizing;

use super::*;

/// Made from the description of the layout with Python: `cryptography` for argon2id (64 KiB, 2 passes) and AES-GCM, `hmac`,
/// `zlib`. Passphrase `correct horse battery`, salt 00 to 0f, chunks of 8 bytes: `12345678`, `abcdefgh`, `xyz`.
const OF_PASSPHRASE: &str = "54455353424b55500101000102030405060708090a0b0c0d0e0f400000000200000001000000080000007e82b9ba\
    b731157842ab3f65c265d3f73c6359d8d885b33c7968317a9b2b0d9a3732b53499592c9bd7cd8413a7f1b289ae7efa2057ccc4b32c7781fca325474\
    a38aaf9b5e96082dbc7a7ef73b24863897faafef87d041f05374057ad50becadb624bc1ce6da53a";
/// Likewise, key 32 times 07, salt 10 to 1f, chunks of 4 bytes: `1234` and an empty one.
const OF_KEY: &str = "54455353424b55500102101112131415161718191a1b1c1d1e1f00000000000000000000000004000000d34486418531a9a4\
    8f63b3c92f1a808ca90d43d2befc091d33f3e115e1c1860aecbceb6e365047f553611336428416353659efd1f913e0eabeac6e20d957f3d053e071ae6\
    ff4f6ee";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn passphrase(text: &str) -> BackupSecret {
    BackupSecret::Passphrase(SecretText::from(text))
}

fn key(byte: u8) -> BackupSecret {
    BackupSecret::Key(BackupKey(Zeroizing::new([byte; 32])))
}

/// Reads a whole file; the error as it is told.
fn read(bytes: &[u8], secret: &BackupSecret) -> Result<Vec<u8>, String> {
    let mut opener = Opener::begin(bytes, secret).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    opener.read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

fn written(content: &[u8], secret: &BackupSecret) -> Vec<u8> {
    let mut sealer = Sealer::begin(Vec::new(), secret).unwrap();
    sealer.write_all(content).unwrap();
    sealer.finish().unwrap()
}

#[test]
fn files_of_an_independent_program_are_read() {
    assert_eq!(
        read(&unhex(OF_PASSPHRASE), &passphrase("correct horse battery")).unwrap(),
        b"12345678abcdefghxyz"
    );
    assert_eq!(read(&unhex(OF_KEY), &key(7)).unwrap(), b"1234");
}

#[test]
fn what_was_written_is_read_whatever_its_length() {
    let chunk = usize::try_from(CHUNK).unwrap();
    for length in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 5] {
        let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let file = written(&content, &key(9));
        assert_eq!(read(&file, &key(9)).unwrap(), content, "{length}");
        assert!(!file.windows(16).any(|window| content.windows(16).next() == Some(window)), "{length}");
    }
}

#[test]
fn two_files_of_the_same_content_have_nothing_in_common() {
    let (first, second) = (written(b"the same content", &key(9)), written(b"the same content", &key(9)));
    assert_ne!(first[HEAD_AND_MAC..], second[HEAD_AND_MAC..]);
}

#[test]
fn a_passphrase_is_stretched_and_must_not_be_short() {
    let error = Sealer::begin(Vec::new(), &passphrase("elf letters")).unwrap_err();
    assert!(matches!(error, ContainerError::Weak), "{error}");
    let file = written(b"content", &passphrase("zwölf zeichen"));
    let costs: Vec<u32> =
        file[26..38].chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(costs, [65_536, 3, 4], "RFC 9106 section 4");
    assert_eq!(read(&file, &passphrase("zwölf zeichen")).unwrap(), b"content");
}

#[track_caller]
fn refused(bytes: &[u8], secret: &BackupSecret, text: &str) {
    assert_eq!(read(bytes, secret).unwrap_err(), text);
}

#[test]
fn each_mistake_has_its_own_text() {
    let file = unhex(OF_PASSPHRASE);
    let right = passphrase("correct horse battery");
    refused(&file, &passphrase("correct horse batterz"), "wrong passphrase");
    refused(&unhex(OF_KEY), &key(8), "wrong backup key");
    refused(&file, &key(7), "the file is encrypted with passphrase, but backup key was given");
    refused(&file[..60], &right, "this is not a Tessera backup");
    refused(b"", &right, "this is not a Tessera backup");
    let mut other = file.clone();
    other[0] = b'X';
    refused(&other, &right, "this is not a Tessera backup");
    // Cut between chunks, which are 24 bytes each, and inside of the second one.
    refused(&file[..HEAD_AND_MAC + 48], &right, "the file ends too early: it was cut off");
    refused(&file[..HEAD_AND_MAC], &right, "the file ends too early: it was cut off");
    refused(&file[..HEAD_AND_MAC + 45], &right, "the end of the file is damaged, or it was cut off");
    let flipped = |at: usize| {
        let mut bytes = file.clone();
        bytes[at] ^= 1;
        bytes
    };
    refused(&flipped(HEAD_AND_MAC + 30), &right, "the file is damaged in chunk 1");
    refused(&flipped(file.len() - 1), &right, "the end of the file is damaged, or it was cut off");
    refused(&flipped(12), &right, "the head of the file is damaged");
}

#[test]
fn every_changed_byte_is_noticed() {
    for (file, secret) in [(unhex(OF_KEY), key(7)), (written(b"content", &key(7)), key(7))] {
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed, &secret).is_err(), "byte {at}");
        }
        for length in 0..file.len() {
            assert!(read(&file[..length], &secret).is_err(), "length {length}");
        }
        let mut longer = file;
        longer.push(0);
        assert!(read(&longer, &secret).is_err());
    }
}

#[test]
fn chunks_that_change_places_are_noticed() {
    let file = unhex(OF_PASSPHRASE);
    let right = passphrase("correct horse battery");
    let mut exchanged = file[..HEAD_AND_MAC].to_vec();
    exchanged.extend_from_slice(&file[HEAD_AND_MAC + 24..HEAD_AND_MAC + 48]);
    exchanged.extend_from_slice(&file[HEAD_AND_MAC..HEAD_AND_MAC + 24]);
    exchanged.extend_from_slice(&file[HEAD_AND_MAC + 48..]);
    refused(&exchanged, &right, "the file is damaged in chunk 0");
    let mut doubled = file[..HEAD_AND_MAC + 24].to_vec();
    doubled.extend_from_slice(&file[HEAD_AND_MAC..]);
    refused(&doubled, &right, "the file is damaged in chunk 1");
}

/// A file may come from anywhere: it must not make the reader use up the machine.
#[test]
fn a_head_that_demands_too_much_is_refused() {
    let head = |memory_kib, passes, lanes, chunk| {
        let cost = Cost { memory_kib, passes, lanes };
        let mut bytes = Head { source: PASSPHRASE, salt: [0; 16], cost, chunk }.encode();
        bytes.extend_from_slice(&[0; 32]);
        bytes
    };
    let right = passphrase("correct horse battery");
    for bytes in [
        head(2 * 1024 * 1024, 1, 1, 64),
        head(64, 17, 1, 64),
        head(64, 1, 17, 64),
        head(64, 1, 1, 0),
        head(64, 1, 1, CHUNK_MAX + 1),
    ] {
        refused(&bytes, &right, "the head of the file is damaged");
    }
    refused(&head(64, 1, 1, 64), &right, "wrong passphrase");
}
