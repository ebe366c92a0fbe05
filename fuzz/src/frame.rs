//! Frames: a stream as the agent reads it, and a stream as the client reads it.

use keyagent_wire::codec::{decode_reply, decode_request, encode_reply, encode_request};
use keyagent_wire::frame::{self, HEADER_BYTES, Header, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};

/// Reads the bytes from both ends of a connection, and as bodies of their own.
pub fn run(data: &[u8]) {
    stream(data, REQUEST_BYTES_MAX, request);
    stream(data, REPLY_BYTES_MAX, reply);
    request(data);
    reply(data);
}

/// Frame after frame, as long as they are whole; no byte is read twice or left out.
fn stream(mut data: &[u8], body_bytes_max: usize, decode: fn(&[u8])) {
    loop {
        let before = data;
        let Ok((version, body)) = frame::read(&mut data, body_bytes_max) else { return };
        assert!(body.len() <= body_bytes_max, "no frame is longer than its side allows");
        assert_eq!(before.len() - data.len(), HEADER_BYTES + body.len());
        let head = before[..HEADER_BYTES].try_into().expect("they are six");
        let header = Header::parse(head, body_bytes_max);
        assert_eq!(header, Ok(Header { version, body_bytes: body.len() }));
        decode(&body);
    }
}

/// What is read is written in one way, which is never longer, and read back as the same.
fn request(body: &[u8]) {
    let Ok(request) = decode_request(body) else { return };
    let written = encode_request(&request).expect("it came in a frame");
    assert!(written.len() <= body.len(), "there is no shorter way to write it");
    let again = decode_request(&written).expect("we wrote it");
    assert!(*encode_request(&again).expect("it fits") == *written, "it is the same request");
}

fn reply(body: &[u8]) {
    let Ok(reply) = decode_reply(body) else { return };
    let written = encode_reply(&reply).expect("it came in a frame");
    assert!(written.len() <= body.len(), "there is no shorter way to write it");
    let again = decode_reply(&written).expect("we wrote it");
    assert!(*encode_reply(&again).expect("it fits") == *written, "it is the same reply");
}
