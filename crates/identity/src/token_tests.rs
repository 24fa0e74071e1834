//! Tests of signing, reuse and verification, with clocks that are stepped.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};

use super::*;

fn pair() -> (Signer, Verifier) {
    let key = KeyPair::generate();
    (Signer::new("gateway", &key).unwrap(), Verifier::trusting("registry", "gateway", &key))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn signed_tokens_are_accepted_and_reused() {
    let (signer, verifier) = pair();
    let token = signer.sign("registry", &Caller::operator()).unwrap();
    for _ in 0..2 {
        let caller = verifier.verify(Some(&bearer(&token))).unwrap();
        assert_eq!((caller.id.as_str(), caller.is_operator()), ("operator", true));
        assert!(caller.scope.is_all());
    }
    assert_eq!(token, signer.sign("registry", &Caller::operator()).unwrap(), "the signature is reused");
}

#[test]
fn tokens_of_other_audiences_and_issuers_are_rejected() {
    let (signer, verifier) = pair();
    let (stranger, _) = pair();
    let operator = Caller::operator();
    let for_other = signer.sign("onboarding", &operator).unwrap();
    let by_stranger = stranger.sign("registry", &operator).unwrap();
    let good = signer.sign("registry", &operator).unwrap();
    let (head, body) = good.split_at(good.len() - 10);
    let tampered = format!("{head}{}", body.chars().rev().collect::<String>());
    for bad in [for_other.as_str(), &by_stranger, &tampered, "", "x.y.z"] {
        assert_eq!(verifier.verify(Some(&bearer(bad))).unwrap_err().kind(), Kind::Unauthorized);
    }
    assert_eq!(verifier.verify(Some(&good)).unwrap_err().kind(), Kind::Unauthorized, "no scheme");
    assert_eq!(verifier.verify(None).unwrap_err().kind(), Kind::Unauthorized);
}

#[test]
fn service_can_sign_only_for_itself() {
    let key = KeyPair::generate();
    let (signer, verifier) =
        (Signer::new("onboarding", &key).unwrap(), Verifier::trusting("registry", "onboarding", &key));
    let own = signer.sign("registry", &Caller::this_service("onboarding")).unwrap();
    assert!(verifier.verify(Some(&bearer(&own))).is_ok());
    let as_person = Caller::authenticated("service:onboarding", ActorType::Operator, own_grants());
    for other in [Caller::operator(), Caller::this_service("provisioning"), as_person] {
        let other = signer.sign("registry", &other).unwrap();
        assert_eq!(verifier.verify(Some(&bearer(&other))).unwrap_err().kind(), Kind::Unauthorized);
    }
}

#[test]
fn gateway_cannot_sign_for_other_services() {
    let (signer, verifier) = pair();
    let verified = |caller: &Caller| {
        let token = signer.sign("registry", caller).unwrap();
        verifier.verify(Some(&bearer(&token))).map(|caller| caller.id)
    };
    assert_eq!(verified(&Caller::this_service("gateway")).unwrap(), "service:gateway");
    let person = Caller::authenticated("service:gateway", ActorType::User, own_grants());
    for other in [Caller::this_service("onboarding"), person] {
        assert_eq!(verified(&other).unwrap_err().kind(), Kind::Unauthorized);
    }
}

fn own_grants() -> Vec<Grant> {
    Caller::operator().grants().to_vec()
}

/// A machine whose clocks a test controls.
#[derive(Clone)]
struct Machine {
    /// The sum of the wall clock's steps, in seconds.
    step: Arc<AtomicI64>,
    /// The elapsed time, in seconds.
    passed: Arc<AtomicI64>,
    start: Instant,
}

impl Machine {
    fn new() -> Self {
        Self { step: Arc::default(), passed: Arc::default(), start: Instant::now() }
    }

    fn clocks(&self) -> Clocks {
        let (wall, monotonic) = (self.clone(), self.clone());
        let boot = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let seconds = |clock: &AtomicI64| clock.load(Ordering::SeqCst);
        Clocks::new(
            move || boot + TimeDelta::seconds(seconds(&wall.step) + seconds(&wall.passed)),
            move || monotonic.start + Duration::from_secs(seconds(&monotonic.passed).unsigned_abs()),
        )
    }

    fn step_wall_clock(&self, seconds: i64) {
        self.step.fetch_add(seconds, Ordering::SeqCst);
    }

    fn wait(&self, seconds: i64) {
        self.passed.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// A signer and a verifier on two machines.
fn pair_on(of_signer: &Machine, of_verifier: &Machine) -> (Signer, Verifier) {
    let key = KeyPair::generate();
    let signer = Signer::with_clocks("gateway", &key, of_signer.clocks()).unwrap();
    (signer, Verifier::trusting_with_clocks("registry", "gateway", &key, of_verifier.clocks()))
}

fn call(signer: &Signer, verifier: &Verifier) -> Result<Caller> {
    verifier.verify(Some(&bearer(&signer.sign("registry", &Caller::operator())?)))
}

#[test]
fn no_call_fails_when_the_wall_clock_is_stepped() {
    for step in [1, 31, 59, 90, 3600, 86_400, -1, -31, -90, -3600] {
        let machine = Machine::new();
        let (signer, verifier) = pair_on(&machine, &machine);
        for waited in [0, 5, 29] {
            call(&signer, &verifier).unwrap();
            machine.wait(waited);
            machine.step_wall_clock(step);
            for _ in 0..70 {
                call(&signer, &verifier).unwrap_or_else(|error| panic!("{error:?} after a step of {step} s"));
                machine.wait(1);
            }
        }
    }
}

#[test]
fn token_is_reused_while_fresh_by_both_clocks() {
    let machine = Machine::new();
    let (signer, _) = pair_on(&machine, &machine);
    let sign = || signer.sign("registry", &Caller::operator()).unwrap();
    let first = sign();
    machine.wait(29);
    assert_eq!(sign(), first);
    machine.wait(2);
    let second = sign();
    assert_ne!(second, first, "half its life is over");
    machine.step_wall_clock(-1);
    assert_ne!(sign(), second, "the wall clock went back");
}

#[test]
fn verified_token_also_expires_by_the_monotonic_clock() {
    let machine = Machine::new();
    let (signer, verifier) = pair_on(&machine, &machine);
    let token = bearer(&signer.sign("registry", &Caller::operator()).unwrap());
    verifier.verify(Some(&token)).unwrap();
    // The wall clock steps back as fast as time passes, so by that clock alone the token would never expire.
    for _ in 0..30 {
        machine.wait(5);
        machine.step_wall_clock(-5);
        if verifier.verify(Some(&token)).is_err() {
            return;
        }
    }
    panic!("the token outlives its lifetime");
}

#[test]
fn clocks_may_differ_by_half_a_minute() {
    for differs_by in [-29, -2, 2, 29] {
        let (here, there) = (Machine::new(), Machine::new());
        there.step_wall_clock(differs_by);
        let (signer, verifier) = pair_on(&here, &there);
        for _ in 0..70 {
            call(&signer, &verifier).unwrap_or_else(|error| panic!("{error:?} at {differs_by} s"));
            here.wait(1);
            there.wait(1);
        }
    }
}

#[test]
fn rejected_token_can_be_replaced_by_a_new_one() {
    let (here, there) = (Machine::new(), Machine::new());
    let (signer, verifier) = pair_on(&here, &there);
    call(&signer, &verifier).unwrap();
    here.wait(20);
    there.wait(20);
    there.step_wall_clock(45);
    assert_eq!(call(&signer, &verifier).unwrap_err().kind(), Kind::Unauthorized);
    let new = signer.sign_again("registry", &Caller::operator()).unwrap();
    verifier.verify(Some(&bearer(&new))).unwrap();
    call(&signer, &verifier).unwrap();
}

#[test]
fn repeated_second_yields_two_different_tokens() {
    let machine = Machine::new();
    let (signer, verifier) = pair_on(&machine, &machine);
    call(&signer, &verifier).unwrap();
    machine.step_wall_clock(-3600);
    machine.wait(3600);
    call(&signer, &verifier).unwrap();
}
