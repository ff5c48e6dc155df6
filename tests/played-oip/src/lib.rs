//! A model server on loopback that speaks the Open Inference Protocol over gRPC, in plain text or TLS. What its models answer is
//! given by the test; told to, it answers with nothing, with something else, late, or not at all.

mod grpc;

use remote::wire::{InferRequest, InferResponse, InferTensor, ModelMetadata};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What happens to requests for vectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Status OK, the right shape, and no bytes.
    Empty,
    /// Vectors of so many values.
    Dimension(usize),
    /// All values are NaN.
    NotANumber,
    /// Vectors of another model: the values of each in reverse.
    OtherModel,
    /// The answer comes so much later.
    Slow(Duration),
    /// This status of gRPC, with these words.
    Status(u32, String),
    /// The connection is closed.
    Cut,
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Such as `ModelInfer`.
    pub method: String,
    /// What it was sent to.
    pub authority: String,
    /// Its headers.
    pub headers: HashMap<String, String>,
    /// The batch of `ModelInfer`, without the values.
    pub batch: Option<InferRequest>,
    /// Bytes of the message.
    pub bytes: usize,
}

/// Answers a batch: all values of its vectors, or a status and words.
pub type Answer = dyn Fn(&InferRequest) -> Result<(String, usize, Vec<f32>), (u32, String)> + Send + Sync;

/// How a server behaves from now on.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// What is wrong with its answers.
    pub fault: Option<Fault>,
    /// The only fault of so many requests; of all where there is none.
    pub times: Option<usize>,
    /// Longest message; longer ones are refused as gRPC does.
    pub max_message: Option<usize>,
    /// A header that has to be sent with this value, and the status where it is not.
    pub header: Option<(String, String, u32)>,
    /// What `ModelMetadata` says.
    pub metadata: ModelMetadata,
    /// Names of models that are not there.
    pub missing: Vec<String>,
}

/// A server, which listens until it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

struct State {
    answer: Box<Answer>,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
    given_up: Mutex<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Listens on a port that is free.
    pub fn start(
        answer: impl Fn(&InferRequest) -> Result<(String, usize, Vec<f32>), (u32, String)> + Send + Sync + 'static,
    ) -> Server {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), None, answer)
    }

    /// Listens at an address, with TLS where there is a configuration.
    ///
    /// # Panics
    /// Where it is in use.
    pub fn start_at(
        address: SocketAddr,
        tls: Option<ServerConfig>,
        answer: impl Fn(&InferRequest) -> Result<(String, usize, Vec<f32>), (u32, String)> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            answer: Box::new(answer),
            behaviour: Mutex::default(),
            seen: Mutex::default(),
            given_up: Mutex::default(),
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let tls = tls.map(|mut config| {
            config.alpn_protocols = vec![b"h2".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        runtime.spawn(listen(listener, tls, Arc::clone(&state)));
        Server { address, state, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL without TLS.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.state.behaviour));
    }

    /// What its answers have from now on.
    pub fn fault(&self, fault: impl Into<Option<Fault>>) {
        self.behave(|behaviour| (behaviour.fault, behaviour.times) = (fault.into(), None));
    }

    /// All calls since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.state.seen))
    }

    /// Batches that the client did not wait for.
    pub fn given_up(&self) -> usize {
        *lock(&self.state.given_up)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Connections are closed in the middle of whatever they are at. On another thread, since this one may be of a runtime.
        if let Some(runtime) = self.runtime.take() {
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join();
            ended.expect("no panic");
        }
    }
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let (state, tls) = (Arc::clone(&state), tls.clone());
        tokio::spawn(async move {
            match tls {
                // A client that does not trust this server, or is not trusted, ends here.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        grpc::serve(stream, state).await;
                    }
                }
                None => grpc::serve(stream, state).await,
            }
        });
    }
}

/// The answer of a model with one output.
fn response(request: &InferRequest, name: String, dimension: usize, values: &[f32]) -> InferResponse {
    let rows = request.inputs.first().and_then(|input| input.shape.first()).copied().unwrap_or_default();
    InferResponse {
        model_name: request.model_name.clone(),
        model_version: "7".to_owned(),
        outputs: vec![InferTensor {
            name,
            datatype: "FP32".to_owned(),
            shape: vec![rows, dimension as i64],
            contents: None,
        }],
        raw_output_contents: vec![values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()],
    }
}
