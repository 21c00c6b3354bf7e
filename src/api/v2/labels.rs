//! Categories and tags.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{change::words, hashes, ok};
use crate::{
    api::{
        answer::{Answered, Refusal},
        request::Call,
        site::Site,
    },
    client::{ClientError, ErrorKind, command::Command, snapshot::Snapshot},
};

pub(super) fn categories(snapshot: &Snapshot) -> Map<String, Value> {
    let categories = snapshot.labels.value.categories.iter();
    categories
        .map(|(name, folder)| {
            let folder = folder.as_ref().map(|folder| folder.display().to_string());
            let value = json!({ "name": name, "savePath": folder.unwrap_or_default() });
            (name.clone(), value)
        })
        .collect()
}

/// A name that is not taken is a conflict here.
fn as_conflict(error: ClientError) -> Refusal {
    match error.kind() {
        ErrorKind::Invalid => Refusal::conflict(error.to_string()),
        _ => error.into(),
    }
}

pub(super) async fn set_category(site: &Site, call: &Call<'_>) -> Answered {
    let name = call.need("category")?;
    let known = site.client.snapshot();
    if !name.is_empty() && !known.labels.value.categories.contains_key(name) {
        return Err(Refusal::conflict("Incorrect category name"));
    }
    for hash in hashes(site, call)? {
        let category = Some(name.to_owned()).filter(|name| !name.is_empty());
        let command = Command::SetCategory { hash, category };
        site.client.command(command).await.map_err(as_conflict)?;
    }
    Ok(ok())
}

pub(super) async fn save_category(site: &Site, call: &Call<'_>) -> Answered {
    let name = call.need("category")?.to_owned();
    if name.is_empty() {
        return Err(Refusal::bad("Category cannot be empty"));
    }
    let is_new = call.path.ends_with("/createCategory");
    if !is_new {
        call.need("savePath")?;
    }
    let is_known = {
        let snapshot = site.client.snapshot();
        snapshot.labels.value.categories.contains_key(&name)
    };
    if is_new && is_known {
        return Err(Refusal::conflict("Unable to create category"));
    }
    if !is_new && !is_known {
        return Err(Refusal::conflict("Unable to edit category"));
    }
    let folder = call.text("savePath").filter(|path| !path.is_empty());
    let folder = folder.map(PathBuf::from);
    let command = Command::SaveCategory { name, folder };
    site.client.command(command).await.map_err(as_conflict)?;
    Ok(ok())
}

pub(super) async fn remove_categories(site: &Site, call: &Call<'_>) -> Answered {
    let names = words(call.need("categories")?, '\n');
    let command = Command::RemoveCategories(names);
    site.client.command(command).await?;
    Ok(ok())
}

/// Adds tags to torrents, or takes them away; without a name, all of them.
pub(super) async fn tag(site: &Site, call: &Call<'_>, add: bool) -> Answered {
    let named = words(call.need("tags")?, ',');
    let snapshot = site.client.snapshot();
    for hash in hashes(site, call)? {
        let own = || {
            let torrent = snapshot.torrents.get(&hash);
            torrent.map_or_else(Vec::new, |torrent| torrent.row.value.tags.clone())
        };
        let (add, remove) = match (add, named.is_empty()) {
            (true, _) => (named.clone(), Vec::new()),
            (false, false) => (Vec::new(), named.clone()),
            (false, true) => (Vec::new(), own()),
        };
        let command = Command::SetTags { hash, add, remove };
        site.client.command(command).await.map_err(as_conflict)?;
    }
    Ok(ok())
}

pub(super) async fn create_tags(site: &Site, call: &Call<'_>) -> Answered {
    let names = words(call.need("tags")?, ',');
    let command = Command::AddTags(names);
    site.client.command(command).await.map_err(as_conflict)?;
    Ok(ok())
}

pub(super) async fn delete_tags(site: &Site, call: &Call<'_>) -> Answered {
    let names = words(call.need("tags")?, ',');
    site.client.command(Command::RemoveTags(names)).await?;
    Ok(ok())
}
