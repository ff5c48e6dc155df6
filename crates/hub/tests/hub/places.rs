//! What is done to the folder of models.

use crate::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[test]
fn two_installations_at_once_do_the_work_once() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    hub.fault("onnx/text_model.onnx", played_hub::Fault::Stall(1000, Duration::from_secs(3)));
    let (installed, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (new, _) = install_with(&models.request(&hub), &|event| {
                    waited.fetch_add(matches!(event, Event::Waiting).into(), SeqCst);
                })
                .unwrap();
                installed.fetch_add(new.into(), SeqCst);
            });
        }
    });
    assert_eq!(installed.load(SeqCst), 1);
    assert!(waited.load(SeqCst) >= 1);
    assert_installed(&models, 7);
}

#[test]
fn installing_and_removing_at_once_leaves_all_or_nothing() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                install(&models.request(&hub)).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..10 {
                match hub::remove(&models.path(), &name(NAME)) {
                    Ok(_) | Err(Error::NotInstalled { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    });
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 7);
    hub::remove(&models.path(), &name(NAME)).unwrap();
    assert_eq!(tree(&models.path()), [""; 0]);
    let error = hub::remove(&models.path(), &name(NAME)).unwrap_err();
    assert!(matches!(error, Error::NotInstalled { .. }), "{error:?}");
}

#[test]
fn a_model_that_was_put_there_by_hand_is_left_alone() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    fs::create_dir_all(models.model()).unwrap();
    fs::write(models.model().join("config.json"), "by hand").unwrap();
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(models.model().join("config.json")).unwrap(), "by hand");
    hub::remove(&models.path(), &name(NAME)).unwrap();
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 7);
}

#[test]
fn an_exchange_that_was_interrupted_is_put_right() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    install(&models.request(&hub)).unwrap();
    let old = models.path().join("owner/.model.old");
    // Before the second rename: the old model comes back.
    fs::rename(models.model(), &old).unwrap();
    hub.forget();
    assert!(!install(&models.request(&hub)).unwrap().0);
    assert_installed(&models, 7);
    // After it: what was replaced is deleted.
    fs::create_dir(&old).unwrap();
    assert!(!install(&models.request(&hub)).unwrap().0);
    assert_installed(&models, 7);
}

#[test]
fn the_folder_is_made_for_its_owner_alone() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    install(&models.request(&hub)).unwrap();
    let mode = fs::metadata(models.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn folders_that_cannot_be_written() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    fs::write(models.path(), "a file").unwrap();
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == models.path()), "{error:?}");
    let nowhere = Request { model_dir: "/proc/models".into(), ..models.request(&hub) };
    assert!(matches!(install(&nowhere).unwrap_err(), Error::Io { .. }));
}
