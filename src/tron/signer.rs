//! Signers that are no key in memory: a keystore that is opened when it is first
//! needed, and another program.
//!
//! The program is run once for each request, one after the other, without
//! arguments and without a shell. It reads one JSON document from its standard input and writes one to
//! its standard output; what it says to people goes to standard error.
//!
//! | `request` | besides it | answer |
//! |---|---|---|
//! | `address` | | `{"address":"T…"}` |
//! | `transaction` | `address`, `txid`, `raw_data_hex`, `transaction` (as the HTTP API writes it, visible) | `{"signature":"130 hex digits"}` |
//! | `message` | `address`, `message_hex` | the same |
//! | `typed_data` | `address`, `domain_separator`, `struct_hash`, `typed_data` (the whole document: `types`, `primaryType`, `domain`, `message`) | the same |
//!
//! Each also has `"version": 1`. To refuse, it answers `{"error":"why"}`. A bare
//! digest is never asked for: the program hashes what it was shown. What it
//! answers is checked: low s, and the address.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{
    json::transaction_to_json,
    keys::{PendingSignature, SecretKey, SignRequest, Signature, Signer, SignerError},
    keystore::{Keystore, KeystoreError},
    transaction::Transaction,
};
use crate::types::Address;

/// The longest answer of a program, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Asks for a passphrase; the reason when there is none.
pub type AskPassphrase = Box<dyn Fn() -> Result<Zeroizing<String>, String> + Send + Sync>;

/// Signs with the key of an encrypted file, which is opened at the first
/// request; then the key stays in memory until this is dropped.
pub struct KeystoreSigner {
    keystore: Keystore,
    address: Address,
    ask: AskPassphrase,
    key: Mutex<Option<SecretKey>>,
}

impl std::fmt::Debug for KeystoreSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeystoreSigner({})", self.address)
    }
}

impl KeystoreSigner {
    /// A signer for the address that the file names.
    ///
    /// # Errors
    /// The file names none: open it, and sign with its key.
    pub fn new(keystore: Keystore, ask: AskPassphrase) -> Result<Self, KeystoreError> {
        let address = keystore.address().ok_or_else(|| {
            KeystoreError::NotAKeystore("it does not say whose key it holds".to_owned())
        })?;
        Ok(Self {
            keystore,
            address,
            ask,
            key: Mutex::new(None),
        })
    }

    /// Opens the file now, if it is not open yet.
    ///
    /// # Errors
    /// No passphrase, a wrong one, or a changed file.
    pub fn unlock(&self) -> Result<(), SignerError> {
        self.key().map(drop)
    }

    fn key(&self) -> Result<SecretKey, SignerError> {
        // An opened key or none: a thread that panicked left one of the two.
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*key {
            return Ok(key.clone());
        }
        let refused = |reason: String| SignerError {
            address: self.address,
            reason,
        };
        let passphrase = (self.ask)().map_err(refused)?;
        let opened = self
            .keystore
            .open(&passphrase)
            .map_err(|error| refused(error.to_string()))?;
        *key = Some(opened.clone());
        Ok(opened)
    }
}

impl Signer for KeystoreSigner {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_request(&self, request: &SignRequest<'_>) -> Result<Signature, SignerError> {
        self.key()?.sign_request(request)
    }
}

/// A program that does not tell whose key it has.
#[derive(Debug, thiserror::Error)]
#[error("the signing program {} failed: {reason}", program.display())]
pub struct ExternalSignerError {
    /// Which program.
    pub program: PathBuf,
    /// What was wrong.
    pub reason: String,
}

/// Another program that holds a key: see the module's page.
#[derive(Debug)]
pub struct ExternalSigner {
    program: Arc<Program>,
    address: Address,
}

/// How it is run.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    patience: Duration,
    hidden: Vec<String>,
    /// Held while it is asked: somebody may have to press a button for each.
    turn: Mutex<()>,
}

/// One run of it, which another thread can end.
#[derive(Debug, Default)]
struct Run(Mutex<RunState>);

#[derive(Debug, Default)]
struct RunState {
    child: Option<Child>,
    is_over: bool,
}

impl Run {
    fn start(&self, command: &mut Command) -> Result<(ChildStdin, ChildStdout), String> {
        // Whole at every moment: a child or none.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            return Err("nobody waits for it any more".to_owned());
        }
        let mut child = command
            .spawn()
            .map_err(|error| format!("it cannot be run: {error}"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        state.child = Some(child);
        pipes.ok_or_else(|| "it has no pipes".to_owned())
    }

    /// Ends it, wherever it is: it has answered, or nobody waits.
    fn end(&self) -> Option<std::io::Result<ExitStatus>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over = true;
        let mut child = state.child.take()?;
        // One that has ended already cannot be killed.
        let _ended = child.kill();
        Some(child.wait())
    }
}

/// Ends a run when it is dropped.
struct EndRun(Arc<Run>);

impl Drop for EndRun {
    fn drop(&mut self) {
        let _status = self.0.end();
    }
}

impl ExternalSigner {
    /// Asks the program for its address. `patience` is for one answer: somebody
    /// may have to press a button. `hidden` are environment variables that it is
    /// not given.
    ///
    /// # Errors
    /// It cannot be run, or gave no address.
    pub fn start(
        program: impl Into<PathBuf>,
        patience: Duration,
        hidden: &[&str],
    ) -> Result<Self, ExternalSignerError> {
        let program = Program {
            path: program.into(),
            patience,
            hidden: hidden.iter().map(|&name| name.to_owned()).collect(),
            turn: Mutex::new(()),
        };
        let question = json!({ "version": 1, "request": "address" });
        let answer = program.ask(&question, &Run::default());
        let address = answer.and_then(|answer| {
            let address = answer.get("address").and_then(Value::as_str);
            let address = address.ok_or("its answer has no `address`")?;
            address.parse().map_err(|error| format!("{error}"))
        });
        match address {
            Ok(address) => Ok(Self {
                program: Arc::new(program),
                address,
            }),
            Err(reason) => Err(ExternalSignerError {
                program: program.path,
                reason,
            }),
        }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program.path
    }

    fn error(&self, reason: &str) -> SignerError {
        SignerError {
            address: self.address,
            reason: format!("{}: {reason}", self.program.path.display()),
        }
    }

    fn question(&self, request: &SignRequest<'_>) -> Result<Value, String> {
        let address = self.address;
        Ok(match request {
            SignRequest::Transaction { raw_data } => {
                let transaction =
                    Transaction::from_parts(raw_data.to_vec(), Vec::new(), Vec::new());
                let mut shown =
                    transaction_to_json(&transaction, true).map_err(|error| error.to_string())?;
                if let Some(object) = shown.as_object_mut() {
                    object.insert("visible".to_owned(), true.into());
                }
                json!({
                    "version": 1,
                    "request": "transaction",
                    "address": address,
                    "txid": transaction.txid(),
                    "raw_data_hex": hex::encode(raw_data),
                    "transaction": shown,
                })
            }
            SignRequest::Message(message) => json!({
                "version": 1,
                "request": "message",
                "address": address,
                "message_hex": hex::encode(message),
            }),
            SignRequest::TypedData {
                domain_separator,
                struct_hash,
                document,
            } => json!({
                "version": 1,
                "request": "typed_data",
                "address": address,
                "domain_separator": hex::encode(domain_separator),
                "struct_hash": hex::encode(struct_hash),
                "typed_data": document.document(),
            }),
        })
    }
}

impl Program {
    /// Runs the program once, and never twice at a time.
    fn ask(&self, question: &Value, run: &Run) -> Result<Value, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(&self.path);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let answer = run
            .start(&mut command)
            .and_then(|pipes| self.exchange(pipes, question.to_string()));
        // It has answered, or is too late: either way it is done.
        let status = run.end();
        let answer = answer?;
        if answer.is_empty() {
            return Err(match status {
                Some(Ok(status)) => format!("it gave no answer ({status})"),
                Some(Err(error)) => format!("it gave no answer: {error}"),
                None => "nobody waits for it any more".to_owned(),
            });
        }
        if answer.len() as u64 > MAX_ANSWER_BYTES {
            return Err(format!("its answer has more than {MAX_ANSWER_BYTES} bytes"));
        }
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| format!("its answer is not JSON: {error}"))?;
        if let Some(error) = answer.get("error") {
            let words = error
                .as_str()
                .map_or_else(|| error.to_string(), str::to_owned);
            let words: String = words
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect();
            return Err(format!("it refused: {words}"));
        }
        Ok(answer)
    }

    fn exchange(
        &self,
        (mut stdin, stdout): (ChildStdin, ChildStdout),
        question: String,
    ) -> Result<Vec<u8>, String> {
        // Both in threads of their own: a program may read or write nothing.
        std::thread::spawn(move || {
            // One that answers without reading closes the pipe: that is its choice.
            let _unread = stdin.write_all(question.as_bytes());
        });
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut bytes);
            // Nobody waits any more when it comes too late.
            let _late = sender.send(read.map(|_| bytes));
        });
        match receiver.recv_timeout(self.patience) {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "it did not answer within {} s",
                self.patience.as_secs_f32()
            )),
        }
    }

    /// A signature of this digest, by this address, which the question asks for.
    fn sign(
        &self,
        question: &Value,
        run: &Run,
        (address, digest): (Address, [u8; 32]),
    ) -> Result<Signature, String> {
        let answer = self.ask(question, run)?;
        let text = answer.get("signature").and_then(Value::as_str);
        let text = text.ok_or("its answer has no `signature`")?;
        let signature = Signature::from_hex(text).map_err(|error| error.to_string())?;
        match signature.recover(&digest) {
            Ok(signer) if signer == address && signature.is_low_s() => Ok(signature),
            Ok(signer) if signer == address => Err("its signature has a high s".to_owned()),
            Ok(signer) => Err(format!(
                "its signature is that of {signer}, or of something else"
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Signer for ExternalSigner {
    fn address(&self) -> Address {
        self.address
    }

    fn patience(&self) -> Duration {
        self.program.patience
    }

    fn sign_request(&self, request: &SignRequest<'_>) -> Result<Signature, SignerError> {
        let wanted = (self.address, request.digest());
        self.question(request)
            .and_then(|question| self.program.sign(&question, &Run::default(), wanted))
            .map_err(|reason| self.error(&reason))
    }

    fn ask_to_sign(&self, request: &SignRequest<'_>) -> Option<PendingSignature> {
        let question = match self.question(request) {
            Ok(question) => question,
            Err(reason) => {
                let error = self.error(&reason);
                return Some(Box::pin(async move { Err(error) }));
            }
        };
        let wanted = (self.address, request.digest());
        let (program, run) = (Arc::clone(&self.program), Arc::new(Run::default()));
        let (sender, receiver) = oneshot::channel();
        let end = EndRun(Arc::clone(&run));
        std::thread::spawn(move || {
            // Nobody waits any more when the question was taken back.
            let _late = sender.send(program.sign(&question, &run, wanted));
        });
        let (address, path) = (self.address, self.program.path.clone());
        Some(Box::pin(async move {
            let answer = receiver.await;
            drop(end);
            let reason = match answer {
                Ok(Ok(signature)) => return Ok(signature),
                Ok(Err(reason)) => reason,
                Err(_) => "its thread ended".to_owned(),
            };
            Err(SignerError {
                address,
                reason: format!("{}: {reason}", path.display()),
            })
        }))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tron::{keystore::ScryptCost, message::sign_message};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn key() -> SecretKey {
        SecretKey::from_hex(&format!("{:064x}", 1)).unwrap()
    }

    /// A program that answers the first question with `address`, others with
    /// `answer`.
    fn program(folder: &Path, answer: &str) -> PathBuf {
        let path = folder.join("signer");
        let address = key().address();
        let text = format!(
            "#!/bin/sh\nread -r question\ncase $question in\n*'\"request\":\"address\"'*) echo '{{\"address\":\"{address}\"}}' ;;\n*) {answer} ;;\nesac\n"
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        path
    }

    fn start(folder: &Path, answer: &str) -> ExternalSigner {
        // Written a moment ago: a child forked meanwhile may still hold it open.
        let path = program(folder, answer);
        for _ in 0..100 {
            match ExternalSigner::start(&path, PATIENCE, &[]) {
                Err(error) if error.reason.contains("Text file busy") => std::thread::yield_now(),
                other => return other.unwrap(),
            }
        }
        panic!("the file stays busy");
    }

    #[test]
    fn a_program_signs_what_it_was_shown_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let good = sign_message(&key(), b"yes").unwrap();
        let signer = start(
            folder.path(),
            &format!("echo '{{\"signature\":\"{good}\"}}'"),
        );
        assert_eq!(signer.address(), key().address());
        assert_eq!(sign_message(&signer, b"yes").unwrap(), good);
        let error = sign_message(&signer, b"no").unwrap_err();
        assert!(error.reason.contains("or of something else"), "{error}");
    }

    #[test]
    fn a_program_that_refuses_or_fails_is_told_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        for (answer, expected) in [
            ("echo '{\"error\":\"not today\"}'", "it refused: not today"),
            ("exit 3", "it gave no answer (exit status: 3)"),
            ("echo hello", "its answer is not JSON"),
            ("echo '{}'", "has no `signature`"),
            ("yes", "more than 65536 bytes"),
        ] {
            let signer = start(folder.path(), answer);
            let error = sign_message(&signer, b"x").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let missing = ExternalSigner::start(folder.path().join("none"), PATIENCE, &[]);
        assert!(missing.unwrap_err().reason.contains("cannot be run"));
    }

    #[test]
    fn a_program_that_never_answers_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut signer = start(folder.path(), "exec sleep 600");
        Arc::get_mut(&mut signer.program).unwrap().patience = Duration::from_millis(200);
        let error = sign_message(&signer, b"x").unwrap_err();
        assert!(error.reason.contains("did not answer within"), "{error}");
    }

    #[test]
    fn a_keystore_is_opened_once_and_only_with_its_passphrase() {
        use std::sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        };
        let keystore = Keystore::encrypt(&key(), b"right", ScryptCost::LIGHT).unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let answers = asked.clone();
        let ask: AskPassphrase = Box::new(move || {
            let first = answers.fetch_add(1, Ordering::Relaxed) == 0;
            Ok(Zeroizing::new(
                if first { "wrong" } else { "right" }.to_owned(),
            ))
        });
        let signer = KeystoreSigner::new(keystore, ask).unwrap();
        assert_eq!(signer.address(), key().address());
        let error = sign_message(&signer, b"x").unwrap_err();
        assert!(error.reason.contains("the MAC does not match"), "{error}");
        let expected = sign_message(&key(), b"x").unwrap();
        for _ in 0..3 {
            assert_eq!(sign_message(&signer, b"x").unwrap(), expected);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(!format!("{signer:?}").contains("right"));
    }
}
