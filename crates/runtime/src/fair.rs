//! A semaphore that shares its permits fairly.
//!
//! A queue in order of arrival favours the busiest caller: behind a hundred requests of one caller, a single request of
//! another waits for a hundred. Here, the next permit goes to the group that holds the fewest permits, and within it to
//! the caller that holds the fewest; among equals, to the one that has used the least time. No group may hold all
//! permits, so that other groups find one free.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// The party that a permit counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FairKey {
    /// The group, among which permits are shared first. A tenant is a group, so that many keys of one tenant get no
    /// more than one key of another.
    pub group: Arc<str>,
    /// The caller, among which the permits of a group are shared.
    pub caller: Arc<str>,
}

impl FairKey {
    /// The key of a caller that is a group of its own.
    pub fn alone(caller: &str) -> Self {
        let caller: Arc<str> = caller.into();
        Self { group: Arc::clone(&caller), caller }
    }
}

/// A semaphore that shares its permits fairly among groups and their callers.
#[derive(Clone)]
pub struct FairSemaphore(Arc<Shared>);

struct Shared {
    per_group: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    groups: HashMap<Arc<str>, Group>,
    /// The used time of the group that was granted a permit last. A new group starts with this value.
    clock: Duration,
    next_waiter: u64,
    waiting: usize,
}

#[derive(Default)]
struct Group {
    share: Share,
    callers: HashMap<Arc<str>, Caller>,
    clock: Duration,
}

#[derive(Default)]
struct Caller {
    share: Share,
    waiting: VecDeque<Waiter>,
}

/// The permits that a group or caller holds, and the time for which it has used permits.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    held: usize,
    used: Duration,
}

struct Waiter {
    id: u64,
    units: usize,
    granted: oneshot::Sender<Permit>,
}

/// One or more permits, which return to the semaphore on drop.
pub struct Permit {
    shared: Arc<Shared>,
    key: FairKey,
    units: usize,
    since: Instant,
}

impl fmt::Debug for FairSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FairSemaphore({} free)", self.0.lock().free)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({:?}, {})", self.key, self.units)
    }
}

impl FairSemaphore {
    /// Creates a semaphore. One group may hold at most three quarters of the permits.
    pub fn new(permits: usize) -> Self {
        Self::with_share(permits, permits - permits.div_ceil(4).min(permits.saturating_sub(1)))
    }

    /// Creates a semaphore. One group may hold at most `per_group` permits.
    fn with_share(permits: usize, per_group: usize) -> Self {
        let state = State {
            free: permits,
            groups: HashMap::new(),
            clock: Duration::ZERO,
            next_waiter: 0,
            waiting: 0,
        };
        Self(Arc::new(Shared { per_group: per_group.clamp(1, permits.max(1)), state: Mutex::new(state) }))
    }

    /// Waits for `units` permits, capped at the number that one group may hold.
    pub async fn acquire(&self, key: &FairKey, units: usize) -> Permit {
        let units = units.clamp(1, self.0.per_group);
        loop {
            let (_waiting, granted) = {
                let mut state = self.0.lock();
                if state.may_enter(key, units, self.0.per_group) {
                    return self.0.grant(&mut state, key, units);
                }
                let (sender, receiver) = oneshot::channel();
                let id = state.wait(key, units, sender);
                (Waiting { shared: &self.0, key, id }, receiver)
            };
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    /// Returns the number of free permits.
    pub fn free(&self) -> usize {
        self.0.lock().free
    }
}

/// Removes a waiter if its future is dropped before it was granted a permit.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    key: &'a FairKey,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if !state.remove_waiter(self.key, self.id) {
            return;
        }
        // Others may have been blocked by this waiter.
        let granted = self.shared.grant_waiting(&mut state);
        drop(state);
        send(granted);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let used = self.since.elapsed().saturating_mul(u32::try_from(self.units).unwrap_or(u32::MAX));
        let mut state = self.shared.lock();
        state.release(&self.key, self.units, used);
        let granted = self.shared.grant_waiting(&mut state);
        drop(state);
        send(granted);
    }
}

type Granted = Vec<(oneshot::Sender<Permit>, Permit)>;

/// Sends permits to their waiters. Must not be called under the lock: the permit of a waiter that has gone is dropped
/// here, which takes the lock.
fn send(granted: Granted) {
    for (waiter, permit) in granted {
        let _ = waiter.send(permit);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(self: &Arc<Self>, state: &mut State, key: &FairKey, units: usize) -> Permit {
        state.take(key, units);
        Permit { shared: Arc::clone(self), key: key.clone(), units, since: Instant::now() }
    }

    /// Grants permits to all waiters that can have them now.
    fn grant_waiting(self: &Arc<Self>, state: &mut State) -> Granted {
        let mut granted = Vec::new();
        while let Some((key, waiter)) = state.next(self.per_group) {
            granted.push((waiter.granted, self.grant(state, &key, waiter.units)));
        }
        granted
    }
}

impl State {
    /// Returns true if a new request may be granted at once. While permits are free, the waiters belong to groups at
    /// their limit, unless the next in line needs more permits than are free.
    fn may_enter(&self, key: &FairKey, units: usize, per_group: usize) -> bool {
        let held = self.groups.get(&key.group).map_or(0, |group| group.share.held);
        self.free >= units
            && held + units <= per_group
            && (self.waiting == 0 || self.next_in_line(per_group).is_none())
    }

    fn wait(&mut self, key: &FairKey, units: usize, granted: oneshot::Sender<Permit>) -> u64 {
        self.next_waiter += 1;
        self.waiting += 1;
        let id = self.next_waiter;
        self.caller(key).waiting.push_back(Waiter { id, units, granted });
        id
    }

    fn caller(&mut self, key: &FairKey) -> &mut Caller {
        let begin = self.clock;
        let group = self.groups.entry(Arc::clone(&key.group)).or_insert_with(|| {
            let share = Share { held: 0, used: begin };
            Group { share, ..Group::default() }
        });
        let begin = group.clock;
        group.callers.entry(Arc::clone(&key.caller)).or_insert_with(|| {
            let share = Share { held: 0, used: begin };
            Caller { share, waiting: VecDeque::new() }
        })
    }

    fn take(&mut self, key: &FairKey, units: usize) {
        self.free -= units;
        let caller = self.caller(key);
        caller.share.held += units;
        let used_by_caller = caller.share.used;
        if let Some(group) = self.groups.get_mut(&key.group) {
            group.share.held += units;
            group.clock = group.clock.max(used_by_caller);
            self.clock = self.clock.max(group.share.used);
        }
    }

    fn release(&mut self, key: &FairKey, units: usize, used: Duration) {
        self.free += units;
        if let Some(group) = self.groups.get_mut(&key.group) {
            group.share.held -= units;
            group.share.used += used;
            if let Some(caller) = group.callers.get_mut(&key.caller) {
                caller.share.held -= units;
                caller.share.used += used;
            }
        }
        self.remove_idle(key);
    }

    /// Removes a caller, and then its group, once neither holds or waits for permits.
    fn remove_idle(&mut self, key: &FairKey) {
        let Some(group) = self.groups.get_mut(&key.group) else { return };
        if group.callers.get(&key.caller).is_some_and(|one| one.share.held == 0 && one.waiting.is_empty()) {
            group.callers.remove(&key.caller);
        }
        if group.callers.is_empty() {
            self.groups.remove(&key.group);
        }
    }

    /// Removes a waiter. Returns false if it is no longer queued.
    fn remove_waiter(&mut self, key: &FairKey, id: u64) -> bool {
        let found = self.groups.get_mut(&key.group).and_then(|group| {
            let caller = group.callers.get_mut(&key.caller)?;
            let at = caller.waiting.iter().position(|waiter| waiter.id == id)?;
            caller.waiting.remove(at)
        });
        if found.is_none() {
            return false;
        }
        self.waiting -= 1;
        self.remove_idle(key);
        true
    }

    /// Returns the caller that is next in line, among groups below their limit, and the number of permits it waits for.
    fn next_in_line(&self, per_group: usize) -> Option<(FairKey, usize)> {
        let rank = |share: &Share| (share.held, share.used);
        let firsts = self.groups.iter().filter_map(|(name, group)| {
            let callers = group.callers.iter();
            let first =
                callers.filter_map(|(id, caller)| Some((rank(&caller.share), id, caller.waiting.front()?)));
            let (_, caller, waiter) = first.min_by_key(|(rank, _, waiter)| (*rank, waiter.id))?;
            let has_room = group.share.held + waiter.units <= per_group;
            has_room.then_some(((rank(&group.share), waiter.id), name, caller, waiter.units))
        });
        let (_, group, caller, units) = firsts.min_by_key(|(rank, ..)| *rank)?;
        Some((FairKey { group: Arc::clone(group), caller: Arc::clone(caller) }, units))
    }

    /// Removes the waiter that is next in line; `None` while too few permits are free. Nobody overtakes it meanwhile:
    /// otherwise a waiter that needs many permits might wait forever.
    fn next(&mut self, per_group: usize) -> Option<(FairKey, Waiter)> {
        let (key, units) = self.next_in_line(per_group).filter(|_| self.waiting > 0)?;
        if units > self.free {
            return None;
        }
        let waiter = self.groups.get_mut(&key.group)?.callers.get_mut(&key.caller)?.waiting.pop_front()?;
        self.waiting -= 1;
        Some((key, waiter))
    }
}

#[cfg(test)]
mod tests;
