//! Properties of the wire format: what is written is read, and no bytes whatever make the reader panic.

use proptest::prelude::*;
use protocol::{
    EmbedRequest, ErrorClass, Failure, Frame, FrameError, Frames, FramesRequest, HEADER_LEN, Header, Hello, Items,
    Kind, MAX_PAYLOAD, Request, Response, decode, encode,
};

fn split(frame: &[u8]) -> (Header, &[u8]) {
    let (head, payload) = frame.split_first_chunk::<HEADER_LEN>().expect("a header");
    (Header::parse(head).expect("a valid header"), payload)
}

fn with_header(edit: impl FnOnce(&mut [u8])) -> Result<Header, FrameError> {
    let mut frame = encode(Kind::Request, &Request::Statistics).unwrap();
    edit(&mut frame);
    Header::parse(frame.first_chunk().unwrap())
}

#[test]
fn a_header_with_a_fault_is_refused() {
    assert_eq!(with_header(|frame| frame[0] = b'X'), Err(FrameError::Magic));
    assert_eq!(with_header(|frame| frame[4] = 99), Err(FrameError::Version { theirs: 99 }));
    assert_eq!(with_header(|frame| frame[6] = 0), Err(FrameError::Kind { kind: 0 }));
    assert_eq!(
        with_header(|frame| frame[8..12].copy_from_slice(&u32::MAX.to_le_bytes())),
        Err(FrameError::TooLong { bytes: u32::MAX as usize })
    );
    assert!(with_header(|frame| frame[8..12].copy_from_slice(&(MAX_PAYLOAD as u32).to_le_bytes())).is_ok());
    assert_eq!(
        with_header(|_| ()).unwrap().expect(Kind::Response),
        Err(FrameError::Kind { kind: Kind::Request as u8 })
    );
}

#[test]
fn a_hello_of_another_version_can_be_read() {
    let mut frame = encode(Kind::Hello, &Hello { protocol: 7, release: "9.9.9".into(), pid: 1 }).unwrap();
    frame[4] = 7;
    let (header, payload) = split(&frame);
    assert_eq!(header.kind, Kind::Hello);
    assert_eq!(decode::<Hello>(payload).unwrap().release, "9.9.9");
}

#[test]
fn left_over_bytes_are_an_error() {
    let mut frame = encode(Kind::Request, &Request::Models).unwrap();
    frame.push(0);
    assert!(matches!(decode::<Request>(&frame[HEADER_LEN..]), Err(FrameError::Payload { .. })));
}

#[test]
fn a_length_that_lies_does_not_allocate() {
    // Request::Embed, an empty model name, Items::Images, and a count of 2^63 images.
    let mut payload = vec![0, 0, 1];
    payload.extend([0xff; 9]);
    payload.push(0x7f);
    assert!(matches!(decode::<Request>(&payload), Err(FrameError::Payload { .. })));
}

proptest! {
    #[test]
    fn requests_survive(model in ".{0,40}", texts in prop::collection::vec(".{0,80}", 0..8),
                        images in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)) {
        for items in [
            Items::Texts(texts.clone()),
            Items::Images(images.iter().cloned().map(Into::into).collect()),
        ] {
            let request = Request::Embed(EmbedRequest { model: model.clone(), items, scope: protocol::Scope::default() });
            let frame = encode(Kind::Request, &request).unwrap();
            let (header, payload) = split(&frame);
            prop_assert_eq!(header.len, payload.len());
            prop_assert_eq!(decode::<Request>(payload).unwrap(), request);
        }
    }

    #[test]
    fn responses_survive(vector in prop::collection::vec(-1.0f32..1.0, 0..600), message in ".{0,80}") {
        let failure = Failure { class: ErrorClass::BadImage, message, detail: None, hint: Some("try".into()) };
        let results = vec![Ok(vector), Err(failure)];
        let response = Response::Embeddings { results, damaged: vec![(1, "cut".into())], settings: 7 };
        let frame = encode(Kind::Response, &response).unwrap();
        prop_assert_eq!(decode::<Response>(split(&frame).1).unwrap(), response);
    }

    #[test]
    fn frames_survive(image in prop::collection::vec(any::<u8>(), 0..300), first: u32, every: u32, max: u32,
                      frames in prop::collection::vec((any::<u32>(), any::<Option<u32>>(), any::<Option<Vec<u8>>>()), 0..8),
                      next: Option<u32>, damage in prop::option::of(".{0,80}")) {
        let request = Request::Frames(FramesRequest { image: image.into(), first, every, max });
        let frame = encode(Kind::Request, &request).unwrap();
        prop_assert_eq!(decode::<Request>(split(&frame).1).unwrap(), request);

        let made = frames.into_iter().map(|(number, delay_ms, image)| Frame { number, delay_ms, image: image.map(Into::into) });
        let response = Response::Frames(Frames { frames: made.collect(), next, damage });
        let frame = encode(Kind::Response, &response).unwrap();
        prop_assert_eq!(decode::<Response>(split(&frame).1).unwrap(), response);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Some(head) = bytes.first_chunk() {
            let _ = Header::parse(head);
        }
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Response>(&bytes);
        let _ = decode::<Hello>(&bytes);
    }
}
