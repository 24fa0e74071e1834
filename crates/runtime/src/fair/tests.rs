use std::pin::Pin;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

type Pending<'a> = Pin<Box<dyn Future<Output = Permit> + 'a>>;

fn key(group: &str, caller: &str) -> FairKey {
    FairKey { group: group.into(), caller: caller.into() }
}

/// Acquires permits. Returns the pending future if none can be granted at once.
fn acquire<'a>(semaphore: &'a FairSemaphore, key: &'a FairKey, units: usize) -> Result<Permit, Pending<'a>> {
    let mut pending: Pending<'a> = Box::pin(semaphore.acquire(key, units));
    match (&mut pending).now_or_never() {
        Some(permit) => Ok(permit),
        None => Err(pending),
    }
}

#[test]
fn one_group_cannot_hold_all_permits() {
    let (semaphore, noisy, quiet) = (FairSemaphore::with_share(4, 3), key("a", "a1"), key("b", "b1"));
    let held: Vec<Permit> = (0..3).map(|_| acquire(&semaphore, &noisy, 1).ok().unwrap()).collect();
    let waiting = acquire(&semaphore, &noisy, 1).err().unwrap();
    assert_eq!(semaphore.free(), 1);
    let permit = acquire(&semaphore, &quiet, 1).ok().unwrap();
    drop((permit, waiting, held));
    assert_eq!(semaphore.free(), 4);
    assert!(semaphore.0.lock().groups.is_empty());
}

#[test]
fn group_limit_is_three_quarters_and_at_least_one() {
    for (permits, share) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (1024, 768)] {
        assert_eq!(FairSemaphore::new(permits).0.per_group, share);
    }
}

#[test]
fn group_with_fewest_permits_is_served_first() {
    let (semaphore, noisy, quiet) = (FairSemaphore::with_share(2, 2), key("a", "a1"), key("b", "b1"));
    let first = acquire(&semaphore, &noisy, 1).ok().unwrap();
    let second = acquire(&semaphore, &noisy, 1).ok().unwrap();
    let mut queue: Vec<Pending<'_>> =
        (0..100).map(|_| acquire(&semaphore, &noisy, 1).err().unwrap()).collect();
    let mut late = acquire(&semaphore, &quiet, 1).err().unwrap();
    drop(first);
    let permit = (&mut late).now_or_never().unwrap();
    assert!(queue.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    drop(permit);
    assert!((&mut queue[0]).now_or_never().is_some());
    drop(second);
}

#[test]
fn more_callers_do_not_increase_a_groups_part() {
    let semaphore = FairSemaphore::with_share(1, 1);
    let busy = acquire(&semaphore, &key("x", "x"), 1).ok().unwrap();
    let (keys, quiet): (Vec<FairKey>, FairKey) =
        ((0..20).map(|n| key("a", &format!("a{n}"))).collect(), key("b", "b1"));
    let mut many: Vec<Pending<'_>> =
        keys.iter().map(|key| acquire(&semaphore, key, 1).err().unwrap()).collect();
    let mut one = acquire(&semaphore, &quiet, 1).err().unwrap();
    drop(busy);
    // The tenants alternate: one of the first two permits goes to the quiet tenant.
    let mut quiet_served = false;
    for _ in 0..2 {
        let permit = (&mut one).now_or_never();
        quiet_served |= permit.is_some();
        if permit.is_none() {
            let mut served = many.iter_mut().filter_map(|waiting| waiting.now_or_never());
            drop(served.next().unwrap());
        }
        if quiet_served {
            break;
        }
    }
    assert!(quiet_served);
}

#[test]
fn among_equals_the_least_used_time_is_served_first() {
    let (semaphore, slow, quick) = (FairSemaphore::with_share(1, 1), key("slow", "s"), key("quick", "q"));
    let permit = acquire(&semaphore, &slow, 1).ok().unwrap();
    let mut again = acquire(&semaphore, &slow, 1).err().unwrap();
    let mut quick_one = acquire(&semaphore, &quick, 1).err().unwrap();
    std::thread::sleep(Duration::from_millis(5));
    drop(permit);
    assert!((&mut again).now_or_never().is_none());
    assert!((&mut quick_one).now_or_never().is_some());
}

#[test]
fn waiter_that_needs_many_permits_is_not_overtaken() {
    let (semaphore, light, heavy) = (FairSemaphore::with_share(4, 4), key("light", "l"), key("heavy", "h"));
    let mut held =
        vec![acquire(&semaphore, &light, 1).ok().unwrap(), acquire(&semaphore, &light, 1).ok().unwrap()];
    let mut big = acquire(&semaphore, &heavy, 4).err().unwrap();
    // Two permits are free, and stay reserved for the waiter that needs four.
    let behind = acquire(&semaphore, &light, 1).err().unwrap();
    held.pop();
    assert!((&mut big).now_or_never().is_none());
    held.pop();
    assert!((&mut big).now_or_never().is_some());
    drop(behind);
}

#[test]
fn request_above_the_group_limit_is_capped() {
    let (semaphore, greedy) = (FairSemaphore::with_share(4, 3), key("g", "g"));
    let permit = acquire(&semaphore, &greedy, 100).ok().unwrap();
    assert_eq!(semaphore.free(), 1);
    drop(permit);
}

#[derive(Debug, Clone)]
enum Act {
    Acquire(u8, u8, usize),
    Release(usize),
    Cancel(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0u8..3, 0u8..3, 1usize..4).prop_map(|(group, caller, units)| Act::Acquire(group, caller, units)),
        3 => any::<prop::sample::Index>().prop_map(|at| Act::Release(at.index(64))),
        1 => any::<prop::sample::Index>().prop_map(|at| Act::Cancel(at.index(64))),
    ];
    prop::collection::vec(act, 1..120)
}

proptest! {
    /// For every order of acquisitions, releases and cancellations: the number of permits stays the same, no group
    /// exceeds its limit, and no waiter remains after all permits are released.
    #[test]
    fn permits_are_conserved(acts in acts(), permits in 1usize..6, share in 1usize..6) {
        let semaphore = FairSemaphore::with_share(permits, share);
        let keys: Vec<FairKey> =
            (0..9).map(|n| key(&format!("g{}", n / 3), &format!("c{n}"))).collect();
        let (mut held, mut waiting): (Vec<Permit>, Vec<Pending<'_>>) = (Vec::new(), Vec::new());
        for act in acts {
            match act {
                Act::Acquire(group, caller, units) => {
                    let key = &keys[usize::from(group * 3 + caller)];
                    match acquire(&semaphore, key, units) {
                        Ok(permit) => held.push(permit),
                        Err(pending) => waiting.push(pending),
                    }
                }
                Act::Release(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                Act::Cancel(at) if !waiting.is_empty() => drop(waiting.swap_remove(at % waiting.len())),
                Act::Release(_) | Act::Cancel(_) => {}
            }
            waiting.retain_mut(|pending| pending.now_or_never().map(|permit| held.push(permit)).is_none());
            let taken: usize = held.iter().map(|permit| permit.units).sum();
            prop_assert_eq!(semaphore.free() + taken, permits);
            for group in ["g0", "g1", "g2"] {
                let of_group = held.iter().filter(|permit| &*permit.key.group == group);
                prop_assert!(of_group.map(|permit| permit.units).sum::<usize>() <= share.min(permits));
            }
        }
        while !held.is_empty() || !waiting.is_empty() {
            prop_assert!(!held.is_empty(), "{} wait although no permit is held"
, waiting.len());
            held.clear();
            waiting.retain_mut(|pending| pending.now_or_never().map(|permit| held.push(permit)).is_none());
        }
        prop_assert_eq!(semaphore.free(), permits);
        prop_assert!(semaphore.0.lock().groups.is_empty());
    }
}
