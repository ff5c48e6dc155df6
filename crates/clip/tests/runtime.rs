//! Devices, and ending a run.

mod common;

use std::time::{Duration, Instant};

use clip::{Array3, Cancel, Device, Error, ImageEncoder, Precision, Provider, SessionOptions, TextEncoder};
use common::*;

/// True where the library has CUDA and the machine a device for it.
fn has_cuda() -> bool {
    let options =
        SessionOptions { device: Device::Auto, threads: 1, precision: Precision::Fp32, ..SessionOptions::default() };
    let encoder = TextEncoder::load(&spec(), &options, &runtime()).unwrap();
    match encoder.provider() {
        Provider::Cuda(number) => {
            assert_eq!((number, encoder.note()), (0, None));
            true
        }
        Provider::Cpu => {
            let note = encoder.note().expect("auto says why it chose the CPU");
            println!("{note}");
            assert!(note.starts_with("no CUDA device: ") && note.len() > 30, "{note}");
            false
        }
    }
}

#[test]
fn cuda_that_cannot_be_had_is_an_error_with_the_reason() {
    let wanted = if has_cuda() { 99 } else { 0 };
    let options = SessionOptions {
        device: Device::Cuda(wanted),
        threads: 1,
        precision: Precision::Fp32,
        ..SessionOptions::default()
    };
    let text = TextEncoder::load(&spec(), &options, &runtime()).map(|_| ()).unwrap_err();
    let image = ImageEncoder::load(&spec(), &options, &runtime()).map(|_| ()).unwrap_err();
    for error in [text, image] {
        println!("{error}");
        let Error::DeviceUnavailable { device, reason } = error else { panic!("{error}") };
        assert_eq!(device, format!("cuda:{wanted}"));
        assert!(reason.len() > 20, "{reason}");
    }
}

#[test]
fn cpu_is_the_cpu() {
    let encoder = ImageEncoder::load(&spec(), &on_cpu(Precision::Fp32), &runtime()).unwrap();
    assert_eq!((encoder.provider(), encoder.note()), (Provider::Cpu, None));
}

#[test]
fn all_cores_answer_as_one() {
    let ids: Vec<u32> = golden().texts[0].ids.clone();
    let all =
        SessionOptions { device: Device::Cpu, threads: 0, precision: Precision::Fp32, ..SessionOptions::default() };
    let load = |options| TextEncoder::load(&spec(), &options, &runtime()).unwrap();
    let embed = |mut encoder: TextEncoder| encoder.embed(&[&ids], &Cancel::new()).unwrap();
    assert!(worst(&embed(load(all)), &embed(load(on_cpu(Precision::Fp32)))) > 0.999999);
}

#[test]
fn a_run_can_be_cancelled() {
    let mut encoder = TextEncoder::load(&spec(), &on_cpu(Precision::Fp32), &runtime()).unwrap();
    let text = vec![1u32; 77];
    let batch: Vec<&[u32]> = vec![&text; 2_000];
    let started = Instant::now();
    assert_eq!(encoder.embed(&batch, &Cancel::new()).unwrap().len(), 2_000);
    let whole = started.elapsed();

    // More than whoever cancels it can miss.
    let long = batch.repeat(5);
    let cancel = Cancel::new();
    let started = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(whole.min(Duration::from_millis(200)) / 10);
            cancel.clone().cancel();
        });
        encoder.embed(&long, &cancel)
    });
    println!("{whole:?} for the whole, {:?} until cancelled", started.elapsed());
    assert_eq!(result, Err(Error::Cancelled));
    assert!(cancel.is_cancelled());

    // Cancelled before it starts; and the encoder goes on working.
    let is_at_once = (0..20).any(|_| {
        let started = Instant::now();
        assert_eq!(encoder.embed(&batch, &cancel), Err(Error::Cancelled));
        started.elapsed() < whole / 2
    });
    assert!(is_at_once);
    assert_eq!(encoder.embed(&batch[..2], &Cancel::new()).unwrap().len(), 2);
}

#[test]
fn inputs_that_no_encoder_takes() {
    let mut text = TextEncoder::load(&spec(), &on_cpu(Precision::Fp32), &runtime()).unwrap();
    let long = vec![1u32; 78];
    let too_long = Error::TextTooLong { tokens: 78, is_read: true, context_length: 77 };
    assert_eq!(text.embed(&[&[1, 2], &long], &Cancel::new()), Err(too_long));
    for ids in [&[][..], &[1, u32::MAX], &[1, 1_000_000, 2]] {
        assert!(matches!(text.embed(&[ids], &Cancel::new()), Err(Error::Inference { .. })), "{ids:?}");
    }
    let mut image = ImageEncoder::load(&spec(), &on_cpu(Precision::Fp32), &runtime()).unwrap();
    let other = Array3::<f32>::zeros((3, 47, 48));
    assert!(matches!(image.embed(&[other.view()], &Cancel::new()), Err(Error::Inference { .. })));
    let poison = Array3::<f32>::from_elem((3, 48, 48), f32::NAN);
    match image.embed(&[poison.view()], &Cancel::new()) {
        Err(Error::BadEmbedding { reason, .. }) => assert_eq!(reason, "has values that are not finite"),
        other => panic!("{other:?}"),
    }
    assert!(image.embed(&[], &Cancel::new()).unwrap().is_empty());
}

#[test]
fn handles_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Cancel>();
    shared::<clip::Runtime>();
    shared::<clip::Tokenizer>();
    shared::<clip::Preprocessor>();
    sent::<TextEncoder>();
    sent::<ImageEncoder>();
}
