//! gRPC on HTTP/2: one message each way.

use crate::{Fault, Seen, State, lock, response};
use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use remote::wire::{InferRequest, Model, Ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

const UNIMPLEMENTED: u32 = 12;
const NOT_FOUND: u32 = 5;
const RESOURCE_EXHAUSTED: u32 = 8;

pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let (cut, mut is_cut) = tokio::sync::mpsc::channel(1);
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            _ = is_cut.recv() => return,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let (state, cut) = (Arc::clone(&state), cut.clone());
        tokio::spawn(async move {
            if answer(request, respond, &state).await.is_none() {
                let _ = cut.send(()).await;
            }
        });
    }
}

/// `None` where the connection is to be closed.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, state: &State) -> Option<()> {
    let (head, mut body) = request.into_parts();
    let mut message = BytesMut::new();
    while let Some(Ok(part)) = body.data().await {
        let _ = body.flow_control().release_capacity(part.len());
        message.extend_from_slice(&part);
    }
    let message = message.split_off(message.len().min(5)).freeze();
    let method = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut batch = (method == "ModelInfer").then(|| InferRequest::decode(message.clone()).unwrap_or_default());
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers: std::collections::HashMap<String, String> = headers.collect();
    let whole = batch.clone();
    if let Some(batch) = &mut batch {
        batch.raw_input_contents.clear();
    }
    let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
    let behaviour = lock(&state.behaviour).clone();
    lock(&state.seen).push(Seen {
        method: method.clone(),
        authority,
        headers: headers.clone(),
        batch,
        bytes: message.len(),
    });
    let status = |code: u32, words: &str| Err::<Vec<u8>, _>((code, words.to_owned()));
    let known = |model: &str| !behaviour.missing.iter().any(|missing| missing == model);
    let denied = behaviour.header.as_ref().filter(|(name, value, _)| headers.get(name) != Some(value));
    let outcome = match method.as_str() {
        _ if denied.is_some() => {
            let code = denied.map_or(0, |(_, _, code)| *code);
            status(code, "This protocol is restricted, expecting header")
        }
        "ServerReady" => Ok(Ready { ready: true }.encode_to_vec()),
        "ModelReady" | "ModelMetadata" => {
            let model = Model::decode(message.clone()).unwrap_or_default();
            match method.as_str() {
                _ if !known(&model.name) => status(NOT_FOUND, &format!("no model {}", model.name)),
                "ModelReady" => Ok(Ready { ready: true }.encode_to_vec()),
                _ => Ok(behaviour.metadata.encode_to_vec()),
            }
        }
        "ModelInfer" if behaviour.max_message.is_some_and(|max| message.len() > max) => {
            status(RESOURCE_EXHAUSTED, "Received message larger than max")
        }
        "ModelInfer" => {
            let fault = take_fault(state);
            match &fault {
                Some(Fault::Cut) => return None,
                Some(Fault::Slow(time)) => {
                    tokio::select! {
                        () = tokio::time::sleep(*time) => {}
                        () = reset(&mut respond) => {
                            *lock(&state.given_up) += 1;
                            return Some(());
                        }
                    }
                }
                _ => {}
            }
            let request = whole.unwrap_or_default();
            match (known(&request.model_name), fault) {
                (false, _) => status(NOT_FOUND, &format!("no model {}", request.model_name)),
                (true, Some(Fault::Status(code, words))) => status(code, &words),
                (true, fault) => tokio::task::block_in_place(|| (state.answer)(&request))
                    .map(|(name, dimension, values)| spoil(fault, &request, name, dimension, values)),
            }
        }
        _ => status(UNIMPLEMENTED, "Method not found"),
    };
    send(&mut respond, outcome);
    Some(())
}

fn take_fault(state: &State) -> Option<Fault> {
    let mut behaviour = lock(&state.behaviour);
    match &mut behaviour.times {
        Some(0) => None,
        Some(times) => {
            *times -= 1;
            behaviour.fault.clone()
        }
        None => behaviour.fault.clone(),
    }
}

async fn reset(respond: &mut SendResponse<Bytes>) {
    if std::future::poll_fn(|context| respond.poll_reset(context)).await.is_err() {
        // The connection is gone, and the request with it.
        tokio::time::sleep(Duration::ZERO).await;
    }
}

fn spoil(
    fault: Option<Fault>,
    request: &InferRequest,
    name: String,
    dimension: usize,
    mut values: Vec<f32>,
) -> Vec<u8> {
    let mut size = dimension;
    match fault {
        Some(Fault::NotANumber) => values.fill(f32::NAN),
        Some(Fault::OtherModel) => values.chunks_mut(dimension).for_each(<[f32]>::reverse),
        Some(Fault::Dimension(other)) => {
            size = other;
            values = values.chunks(dimension).flat_map(|row| row.iter().copied().cycle().take(other)).collect();
        }
        _ => {}
    }
    let mut response = response(request, name, size, &values);
    if fault == Some(Fault::Empty) {
        response.raw_output_contents = vec![Bytes::new()];
    }
    response.encode_to_vec()
}

/// Nobody may be there any more.
fn send(respond: &mut SendResponse<Bytes>, outcome: Result<Vec<u8>, (u32, String)>) {
    let head = Response::builder().status(200).header("content-type", "application/grpc");
    let head = head.body(()).expect("a head");
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    let (code, words) = match outcome {
        Ok(message) => {
            let mut frame = BytesMut::with_capacity(message.len() + 5);
            frame.put_u8(0);
            frame.put_u32(message.len() as u32);
            frame.put_slice(&message);
            let _ = stream.send_data(frame.freeze(), false);
            (0, String::new())
        }
        Err(status) => status,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    if let Ok(words) = HeaderValue::from_str(&words) {
        trailers.insert("grpc-message", words);
    }
    if stream.send_trailers(trailers).is_err() {
        stream.send_reset(Reason::CANCEL);
    }
}
