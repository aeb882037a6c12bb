//! Bytes from the disk or the network never make the codec panic, and what it accepts it would have written itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_raft::batch::{Batch, decode_command, encode_command};
use tessera_raft::type_config::Payload;

fuzz_target!(|data: &[u8]| {
    if let Ok(command) = decode_command(data) {
        let again = encode_command(&command).expect("a decoded command has an encoding");
        assert_eq!(decode_command(&again).expect("an encoded command is readable"), command);
    }
    let payload = Payload(bytes::Bytes::copy_from_slice(data));
    if let Ok(batch) = Batch::decode(&payload) {
        let again = batch.encode().expect("a decoded batch has an encoding");
        assert_eq!(Batch::decode(&again).expect("an encoded batch is readable"), batch);
    }
});
