//! Logging in to the page, and confirming what moves money.

use std::time::Instant;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use zeroize::Zeroizing;

use crate::api::{
    answer::{self, Answered, Refusal},
    caller::By,
    gate::{self, USER},
    request::Call,
    scope::Scopes,
    sessions::Kind,
    site::Site,
};

/// A text that is wiped when it is dropped.
fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Zeroizing::new))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The password of `admin`.
    #[serde(default, deserialize_with = "secret")]
    password: Option<Zeroizing<String>>,
    /// Or a token.
    #[serde(default, deserialize_with = "secret")]
    token: Option<Zeroizing<String>>,
}

fn cookie(site: &Site, call: &Call<'_>, value: &str, rest: &str) -> Result<HeaderValue, Refusal> {
    let (name, prefix) = (&site.cookie, &site.prefix);
    let secure = if call.is_https { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={prefix}/; HttpOnly; SameSite=Strict{secure}{rest}");
    HeaderValue::from_str(&text).map_err(|_| Refusal::failed("the cookie cannot be written"))
}

/// What the caller may do, and how it can log in.
pub(super) fn who(site: &Site, call: &Call<'_>) -> Answered {
    answer::json(&json!({
        "scopes": call.caller.scopes.names(),
        "logged_in": call.caller.by != By::Nothing,
        "password": site.password.is_set(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// Opens a session for a password or a token.
pub(super) async fn log_in(site: &Site, call: &Call<'_>) -> Answered {
    // Another site's form cannot send this type without asking first.
    if call.content_type() != "application/json" {
        return Err(Refusal::bad("the body must be application/json"));
    }
    let given: Credentials = call.json()?;
    let scopes = match (&given.token, &given.password) {
        (Some(token), None) => match site.tokens.scopes(token) {
            Some(scopes) => scopes,
            None => gate::log_in(site, call.address, "", token).await?,
        },
        (None, Some(password)) => gate::log_in(site, call.address, USER, password).await?,
        _ => return Err(Refusal::bad("either `password` or `token` is needed")),
    };
    open(site, call, scopes)
}

fn open(site: &Site, call: &Call<'_>, scopes: Scopes) -> Answered {
    let value = site
        .sessions
        .open(Kind::Page, scopes, Instant::now())
        .map_err(|error| Refusal::failed(error.to_string()))?;
    let scopes = scopes.without_money().names();
    let mut response = answer::json(&json!({ "scopes": scopes }))?;
    let cookie = cookie(site, call, &value, "")?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Ends the session.
pub(super) fn log_out(site: &Site, call: &Call<'_>) -> Response {
    if let By::Page(id) = &call.caller.by {
        site.sessions.close(id);
    }
    let mut response = answer::done();
    if let Ok(cookie) = cookie(site, call, "", "; Max-Age=0") {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[serde(default, deserialize_with = "secret")]
    password: Option<Zeroizing<String>>,
}

/// Takes the password again, for one request that moves money.
pub(super) async fn confirm(site: &Site, call: &Call<'_>) -> Answered {
    let By::Page(id) = &call.caller.by else {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "log_in",
            "only a session of the page is confirmed",
        ));
    };
    let Confirmation {
        password: Some(password),
    } = call.json()?
    else {
        return Err(Refusal::bad("`password` is missing"));
    };
    if !site.password.is_set() {
        return Err(Refusal::forbidden(
            "no password is set: start the daemon with --password-file to move money on the page",
        ));
    }
    // A token is not enough here: it may be what was stolen.
    if site.tokens.scopes(&password).is_some() {
        return Err(Refusal::forbidden("this needs the password, not a token"));
    }
    gate::log_in(site, call.address, USER, &password).await?;
    let code = site
        .sessions
        .confirm(id, Instant::now())
        .map_err(|error| Refusal::failed(error.to_string()))?
        .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "log_in", "log in again"))?;
    answer::json(&json!({ "confirm": code.as_str(), "seconds": 60 }))
}
