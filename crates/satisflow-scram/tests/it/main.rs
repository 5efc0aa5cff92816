//! SCRAM-SHA-256 against the vector of RFC 7677, and against those who don't know the password.

#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use satisflow_scram::{Exchange, ITERATIONS, ScramError, Verifier, VerifierError};

const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const UNPROVED: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn pencil(password: &str) -> Verifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    Verifier::of_password(password, &salt, ITERATIONS).unwrap()
}

fn login(verifier: Verifier, last: &str) -> Result<String, ScramError> {
    Exchange::start(FIRST.as_bytes(), verifier, SERVER_NONCE).unwrap().0.finish(last.as_bytes())
}

#[test]
fn the_vector_of_rfc_7677() {
    let (exchange, first) = Exchange::start(FIRST.as_bytes(), pencil("pencil"), SERVER_NONCE).unwrap();
    assert_eq!(first, format!("{},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", &UNPROVED[7..]));
    let last = exchange.finish(format!("{UNPROVED},p={PROOF}").as_bytes()).unwrap();
    assert_eq!(last, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn a_stored_verifier_works_as_the_password_it_was_made_of() {
    let stored: Verifier = pencil("pencil").to_string().parse().unwrap();
    assert_eq!(stored, pencil("pencil"));
    assert!(stored.is_of("pencil") && !stored.is_of("Pencil") && !stored.is_of(""));
    login(stored, &format!("{UNPROVED},p={PROOF}")).unwrap();
}

#[test]
fn wrong_passwords_and_unknown_users_are_refused_alike() {
    let last = format!("{UNPROVED},p={PROOF}");
    assert_eq!(login(pencil("Pencil"), &last), Err(ScramError::Refused));
    assert_eq!(login(Verifier::of_nobody(b"secret", "user"), &last), Err(ScramError::Refused));
}

#[test]
fn nobody_has_a_steady_salt_that_depends_on_the_secret() {
    let of = |secret: &str, user| Verifier::of_nobody(secret.as_bytes(), user);
    assert_eq!(of("a", "mallory"), of("a", "mallory"));
    assert_ne!(of("a", "mallory"), of("b", "mallory"));
    assert_ne!(of("a", "mallory"), of("a", "eve"));
}

#[test]
fn passwords_are_prepared_and_salts_differ() {
    assert_eq!(pencil("I\u{ad}X"), pencil("IX"), "a soft hyphen is mapped to nothing (RFC 4013)");
    assert_ne!(Verifier::generate("pencil").unwrap(), Verifier::generate("pencil").unwrap());
    assert_eq!(Verifier::generate(""), Err(VerifierError::EmptyPassword));
}

#[test]
fn malformed_messages_are_told_and_never_accepted() {
    let long = format!("n,,n=,r={}", "x".repeat(4096));
    for first in
        ["", "n", "n,,", "n,,n=user", "n,,n=user,r=", "n,a=eve,n=user,r=x", "p=tls-server-end-point,,n=,r=x", &long]
    {
        let answer = Exchange::start(first.as_bytes(), pencil("pencil"), SERVER_NONCE);
        assert!(matches!(answer, Err(ScramError::Malformed(_))), "{first}");
    }
    let binding = UNPROVED.replace("biws", "eSws");
    for last in
        ["", UNPROVED, &format!("{UNPROVED},p=AAAA"), &format!("{binding},p={PROOF}"), &format!("c=biws,r=x,p={PROOF}")]
    {
        assert!(matches!(login(pencil("pencil"), last), Err(ScramError::Malformed(_))), "{last}");
    }
    assert!(Exchange::start(b"n,,n=\xff,r=x", pencil("pencil"), SERVER_NONCE).is_err());
}

#[test]
fn verifiers_of_another_form_are_refused_and_none_is_logged() {
    let good = pencil("pencil").to_string();
    for text in
        ["", "pencil", "md5aabb", &good[..good.len() - 4], &good.replace("4096", "0"), &good.replace("256", "512")]
    {
        assert_eq!(text.parse::<Verifier>(), Err(VerifierError::Form), "{text}");
    }
    assert_eq!(format!("{:?}", pencil("pencil")), "Verifier(***)");
}

/// `create role a login password '...'`, then `rolpassword` of `pg_authid`, PostgreSQL 15.18.
#[test]
fn the_verifier_is_the_one_that_postgresql_stores() {
    let stored = "SCRAM-SHA-256$4096:93UIE47MFAmXD8PwYpcrZw==$4BpQxVMzkJrfrvvLl6Lcgb9G2NE2U9KnqrG92C9wxd8=\
                  :pLm5qpSCnHVL0WycmpEVTwj72Vbu0GR2QTqJaL5DjXM=";
    let salt = STANDARD.decode("93UIE47MFAmXD8PwYpcrZw==").unwrap();
    let ours = Verifier::of_password("Grün ⅸ пароль", &salt, ITERATIONS).unwrap();
    assert_eq!(ours.to_string(), stored);
}
