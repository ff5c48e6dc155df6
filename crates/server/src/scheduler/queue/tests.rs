use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const LIMITS: Limits = Limits { max_items: 4, max_units: 200 };

type Plain = Queue<(), ()>;

fn job(encoder: u64, content: u8, tokens: Option<usize>, waiter: Waiter<()>) -> Job<(), ()> {
    Job { key: (encoder, [content; 32]), encoder, tokens, work: (), waiters: vec![waiter] }
}

fn waiter(ticket: u64) -> Waiter<()> {
    Waiter { ticket, place: 0, reply: () }
}

/// Puts in a text of so many tokens, unlike all others.
fn text(queue: &mut Plain, class: Class, content: u8, tokens: usize) -> u64 {
    queue.push(job(1, content, Some(tokens), waiter(content.into())), class)
}

/// Begins a batch: its number, and the tokens of its texts.
fn started(queue: &mut Plain, class: Class, limits: Limits) -> (u64, Vec<usize>) {
    let mut tokens = Vec::new();
    let encoder = queue.first(class, |_| true).map(|job| job.encoder).unwrap_or_default();
    let batch = queue.start(class, encoder, limits, |job| tokens.push(job.tokens.unwrap_or(1)));
    (batch.expect("a job of this class"), tokens)
}

#[test]
fn texts_of_similar_length_go_together() {
    let mut queue = Plain::default();
    for (content, tokens) in [8, 77, 9, 60, 8, 70, 10].into_iter().enumerate() {
        text(&mut queue, Class::Bulk, content as u8, tokens);
    }
    let limits = Limits { max_items: 32, max_units: 10_000 };
    let (batch, mut first) = started(&mut queue, Class::Bulk, limits);
    first.sort_unstable();
    assert_eq!(first, [8, 8, 9, 10]);
    queue.finish(batch);
    let (_, mut second) = started(&mut queue, Class::Bulk, limits);
    second.sort_unstable();
    assert_eq!(second, [60, 70, 77]);
}

#[test]
fn padded_tokens_are_bounded() {
    let mut queue = Plain::default();
    (0..200).for_each(|content| {
        text(&mut queue, Class::Bulk, content, 77);
    });
    let limits = Limits { max_items: 4096, max_units: usize::MAX };
    assert_eq!(started(&mut queue, Class::Bulk, limits).1.len(), 32);
}

#[test]
fn a_step_is_no_longer_than_it_may_be_but_has_the_oldest() {
    let mut queue = Plain::default();
    (0..10).for_each(|content| {
        text(&mut queue, Class::Interactive, content, 77);
    });
    let (batch, first) = started(&mut queue, Class::Interactive, Limits { max_items: 32, max_units: 160 });
    assert_eq!(first.len(), 2);
    queue.finish(batch);
    assert_eq!(started(&mut queue, Class::Interactive, Limits { max_items: 32, max_units: 1 }).1.len(), 1);
}

#[test]
fn somebody_who_searches_makes_a_bulk_job_interactive() {
    let mut queue = Plain::default();
    let number = text(&mut queue, Class::Bulk, 7, 8);
    assert_eq!(queue.waiting(), (0, 1));
    assert_eq!(queue.join(&(1, [7; 32]), Class::Interactive, waiter(100)).unwrap(), number);
    assert_eq!(queue.waiting(), (1, 0));
    assert!(queue.leave(7, [number]).is_empty(), "it does not run");
    assert_eq!(queue.waiting(), (1, 0), "the other one still waits");
    queue.leave(100, [number]);
    assert_eq!(queue.waiting(), (0, 0));
    assert!(queue.join(&(1, [7; 32]), Class::Bulk, waiter(101)).is_err(), "it is gone");
}

#[test]
fn a_run_that_nobody_waits_for_is_given_up_and_not_joined() {
    let mut queue = Plain::default();
    let (a, b) = (text(&mut queue, Class::Bulk, 1, 8), text(&mut queue, Class::Bulk, 2, 8));
    let (batch, texts) = started(&mut queue, Class::Bulk, LIMITS);
    assert_eq!(texts.len(), 2);
    assert!(queue.leave(1, [a]).is_empty(), "somebody waits for the other");
    assert!(queue.join(&(1, [1; 32]), Class::Bulk, waiter(3)).is_ok(), "it runs all the same");
    assert!(queue.leave(2, [b]).is_empty());
    assert_eq!(queue.leave(3, [a]), [batch], "the last one");
    assert!(queue.join(&(1, [2; 32]), Class::Bulk, waiter(4)).is_err());
    let again = text(&mut queue, Class::Bulk, 2, 8);
    queue.finish(batch);
    assert!(queue.join(&(1, [2; 32]), Class::Bulk, waiter(5)).is_ok(), "the new job keeps its key");
    assert_ne!(again, b);
}

#[test]
fn two_batches_run_at_a_time() {
    let mut queue = Plain::default();
    let (a, b) = (text(&mut queue, Class::Bulk, 1, 8), text(&mut queue, Class::Bulk, 2, 8));
    let one = Limits { max_items: 1, max_units: 200 };
    let (first, _) = started(&mut queue, Class::Bulk, one);
    let (second, _) = started(&mut queue, Class::Bulk, one);
    assert_eq!(queue.waiting(), (0, 0));
    assert_eq!(queue.join(&(1, [2; 32]), Class::Interactive, waiter(3)).unwrap(), b, "equal to one that runs");
    assert_eq!(queue.leave(1, [a]), [first], "nobody waits for this one");
    assert!(queue.leave(2, [b]).is_empty(), "and somebody for the other");
    assert_eq!(queue.finish(second).into_values().map(|job| job.waiters.len()).collect::<Vec<_>>(), [1]);
    assert_eq!(queue.finish(first).into_values().map(|job| job.waiters.len()).collect::<Vec<_>>(), [0]);
    assert!(queue.finish(first).is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    /// Content, class, encoder, tokens.
    Ask(u8, bool, u64, usize),
    Leave(usize),
    Start(bool),
    /// One of those that run.
    Finish(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_u8, any::<bool>(), 0..3_u64, 1..78_usize).prop_map(|(c, i, t, n)| Event::Ask(c, i, t, n)),
        1 => any::<usize>().prop_map(Event::Leave),
        2 => any::<bool>().prop_map(Event::Start),
        2 => any::<usize>().prop_map(Event::Finish),
    ]
}

fn class(interactive: bool) -> Class {
    if interactive { Class::Interactive } else { Class::Bulk }
}

proptest! {
    /// Whatever happens in whatever order: who waits is answered once or has left, batches are of one encoder and within
    /// the limits, equal inputs are in the queue once, and nothing is left behind.
    #[test]
    fn nobody_is_forgotten(events in proptest::collection::vec(event(), 1..200)) {
        let mut queue = Plain::default();
        let (mut waiting, mut tickets, mut running) = (Vec::<(u64, u64)>::new(), 0, Vec::new());
        let finish = |queue: &mut Plain, batch: u64, waiting: &mut Vec<(u64, u64)>| {
            for job in queue.finish(batch).into_values() {
                for one in job.waiters {
                    let before = waiting.len();
                    waiting.retain(|(ticket, _)| *ticket != one.ticket);
                    prop_assert_eq!(waiting.len() + 1, before, "answered twice, or after it left");
                }
            }
            Ok(())
        };
        for event in events {
            match event {
                Event::Ask(content, interactive, encoder, tokens) => {
                    tickets += 1;
                    let key = (encoder, [content; 32]);
                    let number = match queue.join(&key, class(interactive), waiter(tickets)) {
                        Ok(number) => number,
                        Err(one) => {
                            let tokens = (encoder > 0).then_some(tokens);
                            queue.push(job(encoder, content, tokens, one), class(interactive))
                        }
                    };
                    waiting.push((tickets, number));
                }
                Event::Leave(index) if !waiting.is_empty() => {
                    let (ticket, number) = waiting.swap_remove(index % waiting.len());
                    queue.leave(ticket, [number]);
                }
                Event::Start(interactive) if running.len() < 3 && queue.first(class(interactive), |_| true).is_some() => {
                    let (mut encoders, mut keys, mut longest, mut items) = (HashSet::new(), HashSet::new(), 0, 0);
                    let encoder = queue.first(class(interactive), |_| true).expect("one").encoder;
                    let batch = queue.start(class(interactive), encoder, LIMITS, |job| {
                        encoders.insert(job.encoder);
                        keys.insert(job.key);
                        longest = longest.max(job.tokens.unwrap_or(1));
                        items += 1;
                    });
                    running.push(batch.expect("there is a job"));
                    prop_assert!(encoders.len() == 1 && keys.len() == items && items <= LIMITS.max_items);
                    prop_assert!(items == 1 || items * longest <= LIMITS.max_units);
                }
                Event::Finish(index) if !running.is_empty() => {
                    let batch = running.swap_remove(index % running.len());
                    finish(&mut queue, batch, &mut waiting)?;
                }
                _ => {}
            }
        }
        for batch in running {
            finish(&mut queue, batch, &mut waiting)?;
        }
        while queue.waiting() != (0, 0) {
            let class = class(queue.waiting().0 > 0);
            let encoder = queue.first(class, |_| true).expect("there is a job").encoder;
            let batch = queue.start(class, encoder, LIMITS, |_| {}).expect("there is a job");
            finish(&mut queue, batch, &mut waiting)?;
        }
        prop_assert!(waiting.is_empty(), "{:?} were forgotten", waiting);
        prop_assert!(queue.by_key.is_empty());
    }
}
