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

fn started(queue: &mut Plain, class: Class, limits: Limits) -> Vec<usize> {
    let mut tokens = Vec::new();
    queue.start(class, limits, |job| tokens.push(job.tokens.unwrap_or(1)));
    tokens
}

#[test]
fn texts_of_similar_length_go_together() {
    let mut queue = Plain::default();
    for (content, tokens) in [8, 77, 9, 60, 8, 70, 10].into_iter().enumerate() {
        text(&mut queue, Class::Bulk, content as u8, tokens);
    }
    let limits = Limits { max_items: 32, max_units: 10_000 };
    let mut first = started(&mut queue, Class::Bulk, limits);
    first.sort_unstable();
    assert_eq!(first, [8, 8, 9, 10]);
    queue.finish();
    let mut second = started(&mut queue, Class::Bulk, limits);
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
    assert_eq!(started(&mut queue, Class::Bulk, limits).len(), 32);
}

#[test]
fn a_step_is_no_longer_than_it_may_be_but_has_the_oldest() {
    let mut queue = Plain::default();
    (0..10).for_each(|content| {
        text(&mut queue, Class::Interactive, content, 77);
    });
    assert_eq!(started(&mut queue, Class::Interactive, Limits { max_items: 32, max_units: 160 }).len(), 2);
    queue.finish();
    assert_eq!(started(&mut queue, Class::Interactive, Limits { max_items: 32, max_units: 1 }).len(), 1);
}

#[test]
fn somebody_who_searches_makes_a_bulk_job_interactive() {
    let mut queue = Plain::default();
    let number = text(&mut queue, Class::Bulk, 7, 8);
    assert_eq!(queue.waiting(), (0, 1));
    assert_eq!(queue.join(&(1, [7; 32]), Class::Interactive, waiter(100)).unwrap(), number);
    assert_eq!(queue.waiting(), (1, 0));
    assert!(!queue.leave(7, [number]), "it does not run");
    assert_eq!(queue.waiting(), (1, 0), "the other one still waits");
    queue.leave(100, [number]);
    assert_eq!(queue.waiting(), (0, 0));
    assert!(queue.join(&(1, [7; 32]), Class::Bulk, waiter(101)).is_err(), "it is gone");
}

#[test]
fn a_run_that_nobody_waits_for_is_given_up_and_not_joined() {
    let mut queue = Plain::default();
    let (a, b) = (text(&mut queue, Class::Bulk, 1, 8), text(&mut queue, Class::Bulk, 2, 8));
    assert_eq!(started(&mut queue, Class::Bulk, LIMITS).len(), 2);
    assert!(!queue.leave(1, [a]), "somebody waits for the other");
    assert!(queue.join(&(1, [1; 32]), Class::Bulk, waiter(3)).is_ok(), "it runs all the same");
    assert!(!queue.leave(2, [b]));
    assert!(queue.leave(3, [a]), "the last one");
    assert!(queue.join(&(1, [2; 32]), Class::Bulk, waiter(4)).is_err());
    let again = text(&mut queue, Class::Bulk, 2, 8);
    queue.finish();
    assert!(queue.join(&(1, [2; 32]), Class::Bulk, waiter(5)).is_ok(), "the new job keeps its key");
    assert_ne!(again, b);
}

#[derive(Clone, Debug)]
enum Event {
    /// Content, class, encoder, tokens.
    Ask(u8, bool, u64, usize),
    Leave(usize),
    Start(bool),
    Finish,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_u8, any::<bool>(), 0..3_u64, 1..78_usize).prop_map(|(c, i, t, n)| Event::Ask(c, i, t, n)),
        1 => any::<usize>().prop_map(Event::Leave),
        2 => any::<bool>().prop_map(Event::Start),
        2 => Just(Event::Finish),
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
        let (mut waiting, mut tickets, mut running) = (Vec::<(u64, u64)>::new(), 0, false);
        let finish = |queue: &mut Plain, waiting: &mut Vec<(u64, u64)>| {
            for job in queue.finish().into_values() {
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
                Event::Start(interactive) if !running && queue.head(class(interactive)).is_some() => {
                    let (mut encoders, mut keys, mut longest, mut items) = (HashSet::new(), HashSet::new(), 0, 0);
                    queue.start(class(interactive), LIMITS, |job| {
                        encoders.insert(job.encoder);
                        keys.insert(job.key);
                        longest = longest.max(job.tokens.unwrap_or(1));
                        items += 1;
                    });
                    running = true;
                    prop_assert!(encoders.len() == 1 && keys.len() == items && items <= LIMITS.max_items);
                    prop_assert!(items == 1 || items * longest <= LIMITS.max_units);
                }
                Event::Finish => {
                    finish(&mut queue, &mut waiting)?;
                    running = false;
                }
                _ => {}
            }
        }
        finish(&mut queue, &mut waiting)?;
        while queue.waiting() != (0, 0) {
            let class = class(queue.waiting().0 > 0);
            queue.start(class, LIMITS, |_| {});
            finish(&mut queue, &mut waiting)?;
        }
        prop_assert!(waiting.is_empty(), "{:?} were forgotten", waiting);
        prop_assert!(queue.by_key.is_empty());
    }
}
