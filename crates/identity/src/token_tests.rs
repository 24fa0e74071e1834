//! Tokens are signed once and reused, and clocks are stepped.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};

use super::*;

fn pair() -> (Signer, Verifier) {
    let key = KeyPair::generate();
    (Signer::new("gateway", &key).unwrap(), Verifier::believing("registry", "gateway", &key))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn what_was_signed_is_known() {
    let (signer, verifier) = pair();
    let token = signer.sign("registry", &Caller::operator()).unwrap();
    for _ in 0..2 {
        let caller = verifier.verify(Some(&bearer(&token))).unwrap();
        assert_eq!((caller.id.as_str(), caller.is_operator()), ("operator", true));
        assert!(caller.scope.is_all());
    }
    assert_eq!(token, signer.sign("registry", &Caller::operator()).unwrap(), "a signature is used again");
}

#[test]
fn what_is_not_for_us_is_refused() {
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
fn a_service_speaks_for_itself_alone() {
    let key = KeyPair::generate();
    let (signer, verifier) =
        (Signer::new("onboarding", &key).unwrap(), Verifier::believing("registry", "onboarding", &key));
    let own = signer.sign("registry", &Caller::this_service("onboarding")).unwrap();
    assert!(verifier.verify(Some(&bearer(&own))).is_ok());
    let as_person = Caller::known("service:onboarding", ActorType::Operator, own_grants());
    for other in [Caller::operator(), Caller::this_service("provisioning"), as_person] {
        let other = signer.sign("registry", &other).unwrap();
        assert_eq!(verifier.verify(Some(&bearer(&other))).unwrap_err().kind(), Kind::Unauthorized);
    }
}

#[test]
fn the_gateway_speaks_for_no_service_but_itself() {
    let (signer, verifier) = pair();
    let told = |caller: &Caller| {
        let token = signer.sign("registry", caller).unwrap();
        verifier.verify(Some(&bearer(&token))).map(|caller| caller.id)
    };
    assert_eq!(told(&Caller::this_service("gateway")).unwrap(), "service:gateway");
    let person = Caller::known("service:gateway", ActorType::User, own_grants());
    for other in [Caller::this_service("onboarding"), person] {
        assert_eq!(told(&other).unwrap_err().kind(), Kind::Unauthorized);
    }
}

fn own_grants() -> Vec<Grant> {
    Caller::operator().grants().to_vec()
}

/// A machine whose clocks a test moves.
#[derive(Clone)]
struct Machine {
    /// Seconds that the wall clock has been stepped by.
    step: Arc<AtomicI64>,
    /// Seconds that have passed.
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

/// A signer and a verifier, each on its machine.
fn pair_on(of_signer: &Machine, of_verifier: &Machine) -> (Signer, Verifier) {
    let key = KeyPair::generate();
    let signer = Signer::with_clocks("gateway", &key, of_signer.clocks()).unwrap();
    (signer, Verifier::believing_with_clocks("registry", "gateway", &key, of_verifier.clocks()))
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
fn a_token_is_reused_while_both_clocks_call_it_fresh() {
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
fn a_verified_token_ends_by_the_monotonic_clock_too() {
    let machine = Machine::new();
    let (signer, verifier) = pair_on(&machine, &machine);
    let token = bearer(&signer.sign("registry", &Caller::operator()).unwrap());
    verifier.verify(Some(&token)).unwrap();
    // The wall clock goes back as fast as time passes: by that clock alone the token would be good for ever.
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
fn machines_whose_clocks_differ_by_half_a_minute_understand_each_other() {
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
fn a_refused_token_is_replaced_by_a_new_one() {
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
fn a_second_that_comes_twice_gives_two_tokens() {
    let machine = Machine::new();
    let (signer, verifier) = pair_on(&machine, &machine);
    call(&signer, &verifier).unwrap();
    machine.step_wall_clock(-3600);
    machine.wait(3600);
    call(&signer, &verifier).unwrap();
}
