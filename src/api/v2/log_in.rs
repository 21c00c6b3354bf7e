//! Logging in as qBittorrent's clients do.

use std::time::Instant;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use crate::api::{
    answer::{self, Answered, Refusal},
    caller::By,
    gate::{self, QBITTORRENT_COOKIE},
    request::Call,
    sessions::Kind,
    site::Site,
};

fn cookie(site: &Site, call: &Call<'_>, value: &str, rest: &str) -> Result<HeaderValue, Refusal> {
    let secure = if call.is_https { "; secure" } else { "" };
    let prefix = &site.prefix;
    let text = format!(
        "{QBITTORRENT_COOKIE}={value}; HttpOnly; SameSite=Strict; path={prefix}/{secure}{rest}"
    );
    HeaderValue::from_str(&text).map_err(|_| Refusal::failed("the cookie cannot be written"))
}

/// `Ok.` with a cookie, or `Fails.`; 403 from an address that is banned.
pub(super) async fn log_in(site: &Site, call: &Call<'_>) -> Answered {
    // Whoever has shown a token or is on the socket needs no cookie.
    if call.caller.by != By::Nothing {
        return Ok(answer::ok_text("Ok."));
    }
    let user = call.text("username").unwrap_or_default();
    let password = call.text("password").unwrap_or_default();
    let scopes = match gate::log_in(site, call.address, user, password).await {
        Ok(scopes) => scopes,
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            return Ok(answer::ok_text("Fails."));
        }
        Err(refusal) => return Err(refusal),
    };
    let value = site
        .sessions
        .open(Kind::Qbittorrent, scopes, Instant::now())
        .map_err(|error| Refusal::failed(error.to_string()))?;
    let mut response = answer::ok_text("Ok.");
    let cookie = cookie(site, call, &value, "")?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

pub(super) fn log_out(site: &Site, call: &Call<'_>) -> Response {
    if let By::Qbittorrent(id) = &call.caller.by {
        site.sessions.close(id);
    }
    let mut response = super::ok();
    if let Ok(cookie) = cookie(site, call, "", "; Max-Age=0") {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
