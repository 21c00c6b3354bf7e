//! `config.toml` changed by `init`: two keys are set, and everything else, comments
//! included, stays as its owner wrote it.

/// The text with `network` and `account` set before its first table.
pub(super) fn with_settings(text: &str, network: &str, account: &str) -> String {
    let text = with(text, "network", network);
    with(&text, "account", account)
}

/// The text with one key of its root table set to a plain string.
fn with(text: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let root = lines
        .iter()
        .take_while(|line| !line.trim_start().starts_with('['));
    let root = root.count();
    let setting = format!("{key} = \"{value}\"");
    let found = lines.iter_mut().take(root).find(|line| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    });
    match found {
        Some(line) => *line = format!("{setting}{}", comment(line)),
        // After the words at the top of a file, before what they are about.
        None => {
            let words = lines.iter().take(root);
            let words = words
                .take_while(|line| line.trim_start().starts_with('#'))
                .count();
            lines.insert(words, setting);
        }
    }
    lines.join("\n") + "\n"
}

/// The comment behind a value that is a string on one line.
fn comment(line: &str) -> &str {
    let (_, value) = line.split_once('=').unwrap_or_default();
    let value = value.trim_start();
    let after = value
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))
        .and_then(|quote| value.get(1..)?.split_once(quote));
    match after {
        Some((_, after)) if after.trim_start().starts_with('#') => after,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_keys_change() {
        let before = "# My notes.\n# network = \"old\"\nnetwork = 'devnet' # for now\n\n\
                      [networks.nile]\nnode = [\"http://127.0.0.1:1\"] # mine\nnetwork = 1\n";
        let after = "# My notes.\n# network = \"old\"\naccount = \"main\"\nnetwork = \"nile\" # for now\n\n\
                     [networks.nile]\nnode = [\"http://127.0.0.1:1\"] # mine\nnetwork = 1\n";
        assert_eq!(with_settings(before, "nile", "main"), after);
        assert_eq!(with_settings(after, "nile", "main"), after);
        assert_eq!(
            with_settings("", "nile", "main"),
            "account = \"main\"\nnetwork = \"nile\"\n"
        );
    }
}
