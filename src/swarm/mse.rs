//! Message stream encryption: the obfuscated handshake before a peer's own, and
//! RC4 after it. It hides BitTorrent from middle boxes; it proves nothing and is
//! not secret from anybody who knows the info-hash.
//!
//! Described by the "Message Stream Encryption" page of the Vuze wiki; there is
//! no BEP.

use crypto_bigint::{U192, U768, const_monty_params, modular::ConstMontyForm};
use rc4::{KeyInit, Rc4, StreamCipher};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::types::InfoHash;

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encryption {
    /// When the peer wants it.
    #[default]
    Accept,
    /// Whenever the peer can.
    Prefer,
    /// Always; peers that cannot are not talked to.
    Require,
}

/// Bytes of a public key.
pub const KEY_LEN: usize = 96;
/// The most padding of either side, in each place.
const MAX_PAD: usize = 512;
/// Bytes of the cipher's stream that are thrown away first.
const DISCARD: usize = 1024;
/// `VC`: what shows that both have the same keys.
const VERIFICATION: [u8; 8] = [0; 8];
/// `crypto_provide`, `crypto_select`: only the handshake is encrypted.
const PLAINTEXT: u32 = 1;
/// `crypto_provide`, `crypto_select`: everything is.
const RC4: u32 = 2;

const_monty_params!(
    Prime,
    U768,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563"
);

/// Why an encrypted handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum MseError {
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What must come within so many bytes did not.
    #[error("its encrypted handshake is not one")]
    NoMark,
    /// The connection is for a torrent that is not here.
    #[error("it asks for a torrent that is not here")]
    NoTorrent,
    /// Deciphered, it makes no sense.
    #[error("its encrypted handshake has {what} {value}")]
    Nonsense {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: u32,
    },
    /// The two sides' wishes have nothing in common.
    #[error("it offers encryption methods {0:#x}, and none of them is allowed here")]
    NothingInCommon(u32),
    /// The system gives no random bytes.
    #[error("cannot get random bytes: {0}")]
    Random(String),
}

/// One direction's cipher.
pub struct Cipher(Rc4);

impl Cipher {
    fn new(label: &[u8; 4], secret: &[u8; KEY_LEN], hash: InfoHash) -> Self {
        let key = digest(&[label, secret, hash.as_bytes()]);
        let mut cipher = Rc4::new_from_slice(&key).expect("RC4 takes keys of 1 to 256 bytes");
        cipher.apply_keystream(&mut [0; DISCARD]);
        Self(cipher)
    }

    /// Enciphers or deciphers in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}

/// What an encrypted handshake led to.
pub struct Agreed {
    /// The ciphers for what is read and written from now on; `None`: plain.
    pub ciphers: Option<(Cipher, Cipher)>,
    /// What the peer has sent already, deciphered: the beginning of the stream.
    pub ahead: Vec<u8>,
}

struct KeyPair {
    exponent: U192,
    public: [u8; KEY_LEN],
}

impl KeyPair {
    fn generate() -> Result<Self, MseError> {
        // 160 bits are what the description asks for.
        let mut bytes = [0; 24];
        let (_, low) = bytes.split_at_mut(4);
        random(low)?;
        Ok(Self::from_exponent(U192::from_be_slice(&bytes)))
    }

    fn from_exponent(exponent: U192) -> Self {
        let generator = ConstMontyForm::<Prime, { U768::LIMBS }>::new(&U768::from_u8(2));
        let public = generator.pow(&exponent).retrieve();
        Self {
            exponent,
            public: to_bytes(&public),
        }
    }

    fn secret(&self, theirs: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
        let theirs = ConstMontyForm::<Prime, { U768::LIMBS }>::new(&U768::from_be_slice(theirs));
        to_bytes(&theirs.pow(&self.exponent).retrieve())
    }
}

fn to_bytes(number: &U768) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    out.copy_from_slice(number.to_be_bytes().as_ref());
    out
}

fn digest(parts: &[&[u8]]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn random(bytes: &mut [u8]) -> Result<(), MseError> {
    getrandom::fill(bytes).map_err(|error| MseError::Random(error.to_string()))
}

/// Padding of random length.
fn padding() -> Result<Vec<u8>, MseError> {
    let mut length = [0; 2];
    random(&mut length)?;
    let mut pad = vec![0; usize::from(u16::from_be_bytes(length)) % (MAX_PAD + 1)];
    random(&mut pad)?;
    Ok(pad)
}

/// `HASH('req2', SKEY) xor HASH('req3', S)`: which torrent, for those who know it.
fn torrent_mark(hash: InfoHash, secret: &[u8; KEY_LEN]) -> [u8; 20] {
    let mut mark = digest(&[b"req2", hash.as_bytes()]);
    let mask = digest(&[b"req3", secret]);
    for (byte, mask) in mark.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    mark
}

/// Reads until `mark` was read; padding of at most [`MAX_PAD`] comes before it.
/// A byte more could be the peer's next message, so it goes one by one.
async fn skip_to<const N: usize>(
    stream: &mut (impl AsyncRead + Unpin),
    mark: &[u8; N],
) -> Result<(), MseError> {
    let mut window = [0; N];
    stream.read_exact(&mut window).await?;
    for _ in 0..MAX_PAD {
        if window == *mark {
            return Ok(());
        }
        window.rotate_left(1);
        if let Some(last) = window.last_mut() {
            *last = stream.read_u8().await?;
        }
    }
    if window == *mark {
        Ok(())
    } else {
        Err(MseError::NoMark)
    }
}

async fn read<const N: usize>(
    stream: &mut (impl AsyncRead + Unpin),
    cipher: &mut Cipher,
) -> Result<[u8; N], MseError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    cipher.apply(&mut bytes);
    Ok(bytes)
}

/// Reads a length and so many bytes of padding.
async fn skip_pad(
    stream: &mut (impl AsyncRead + Unpin),
    cipher: &mut Cipher,
) -> Result<(), MseError> {
    let length = u16::from_be_bytes(read(stream, cipher).await?);
    if usize::from(length) > MAX_PAD {
        let (what, value) = ("padding of", length.into());
        return Err(MseError::Nonsense { what, value });
    }
    let mut pad = vec![0; length.into()];
    stream.read_exact(&mut pad).await?;
    cipher.apply(&mut pad);
    Ok(())
}

/// The side that dialled. `first` is sent along: the peer's own handshake.
///
/// # Errors
/// See [`MseError`].
pub async fn initiate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    hash: InfoHash,
    encryption: Encryption,
    first: &[u8],
) -> Result<Agreed, MseError> {
    let pair = KeyPair::generate()?;
    let mut out = pair.public.to_vec();
    out.extend(padding()?);
    stream.write_all(&out).await?;
    let mut theirs = [0; KEY_LEN];
    stream.read_exact(&mut theirs).await?;
    let secret = pair.secret(&theirs);
    let mut writing = Cipher::new(b"keyA", &secret, hash);
    let mut reading = Cipher::new(b"keyB", &secret, hash);

    let provide = match encryption {
        Encryption::Require => RC4,
        Encryption::Accept | Encryption::Prefer => RC4 | PLAINTEXT,
    };
    let mut out = digest(&[b"req1", &secret]).to_vec();
    out.extend(torrent_mark(hash, &secret));
    let plain_from = out.len();
    out.extend(VERIFICATION);
    out.extend(provide.to_be_bytes());
    out.extend([0; 2]);
    let length = u16::try_from(first.len()).map_err(|_| MseError::Nonsense {
        what: "a first message of",
        value: u32::MAX,
    })?;
    out.extend(length.to_be_bytes());
    out.extend(first);
    let (_, enciphered) = out.split_at_mut(plain_from);
    writing.apply(enciphered);
    stream.write_all(&out).await?;

    let mut mark = VERIFICATION;
    reading.apply(&mut mark);
    skip_to(stream, &mark).await?;
    let select = u32::from_be_bytes(read(stream, &mut reading).await?);
    skip_pad(stream, &mut reading).await?;
    let ciphers = match select {
        RC4 => Some((reading, writing)),
        PLAINTEXT if provide & PLAINTEXT != 0 => None,
        other => return Err(MseError::NothingInCommon(other)),
    };
    Ok(Agreed {
        ciphers,
        ahead: Vec::new(),
    })
}

/// The side that was dialled; `start` is what was read of the stream already.
/// `torrents` are those the peer may want; which it is comes with the result.
///
/// # Errors
/// See [`MseError`].
pub async fn respond<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    start: &[u8],
    torrents: impl FnOnce() -> Vec<InfoHash>,
    encryption: Encryption,
) -> Result<(InfoHash, Agreed), MseError> {
    let mut theirs = [0; KEY_LEN];
    let (known, rest) = theirs
        .split_at_mut_checked(start.len())
        .ok_or(MseError::NoMark)?;
    known.copy_from_slice(start);
    stream.read_exact(rest).await?;
    let pair = KeyPair::generate()?;
    let secret = pair.secret(&theirs);
    let mut out = pair.public.to_vec();
    out.extend(padding()?);
    stream.write_all(&out).await?;

    skip_to(stream, &digest(&[b"req1", &secret])).await?;
    let mut mark = [0; 20];
    stream.read_exact(&mut mark).await?;
    let hash = torrents()
        .into_iter()
        .find(|hash| torrent_mark(*hash, &secret) == mark)
        .ok_or(MseError::NoTorrent)?;
    let mut reading = Cipher::new(b"keyA", &secret, hash);
    let mut writing = Cipher::new(b"keyB", &secret, hash);
    if read(stream, &mut reading).await? != VERIFICATION {
        return Err(MseError::NoMark);
    }
    let provide = u32::from_be_bytes(read(stream, &mut reading).await?);
    skip_pad(stream, &mut reading).await?;
    let length = u16::from_be_bytes(read(stream, &mut reading).await?);
    let mut ahead = vec![0; length.into()];
    stream.read_exact(&mut ahead).await?;
    reading.apply(&mut ahead);

    let wishes = match encryption {
        // Who dials so wants it enciphered; and rtorrent up to 0.9.8 loses what follows
        // in the same segment when the answer is plain text.
        Encryption::Accept | Encryption::Prefer => [RC4, PLAINTEXT],
        Encryption::Require => [RC4, RC4],
    };
    let select = wishes
        .into_iter()
        .find(|method| provide & method != 0)
        .ok_or(MseError::NothingInCommon(provide))?;
    let mut out = VERIFICATION.to_vec();
    out.extend(select.to_be_bytes());
    out.extend([0; 2]);
    writing.apply(&mut out);
    stream.write_all(&out).await?;
    let ciphers = (select == RC4).then_some((reading, writing));
    Ok((hash, Agreed { ciphers, ahead }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: InfoHash = InfoHash::from_bytes([7; 20]);

    async fn both(ours: Encryption, theirs: Encryption) -> (bool, bool) {
        let (mut a, mut b) = tokio::io::duplex(4096);
        let others = || vec![InfoHash::from_bytes([1; 20]), HASH];
        let responds = async {
            let mut start = [0; 20];
            b.read_exact(&mut start).await.unwrap();
            respond(&mut b, &start, others, theirs).await
        };
        let initiates = initiate(&mut a, HASH, ours, b"hello");
        let (dialled, (hash, accepted)) = {
            let (dialled, accepted) = tokio::join!(initiates, responds);
            (dialled.unwrap(), accepted.unwrap())
        };
        assert_eq!(hash, HASH);
        assert_eq!(accepted.ahead, b"hello");
        let both = (dialled.ciphers.is_some(), accepted.ciphers.is_some());
        if let (Some((_, mut out)), Some((mut back, _))) = (dialled.ciphers, accepted.ciphers) {
            let mut text = *b"the same stream";
            out.apply(&mut text);
            assert_ne!(&text, b"the same stream");
            back.apply(&mut text);
            assert_eq!(&text, b"the same stream");
        }
        both
    }

    #[tokio::test]
    async fn two_sides_agree_by_their_wishes() {
        use Encryption::{Accept, Prefer, Require};
        for (ours, theirs, encrypted) in [
            (Accept, Accept, true),
            (Accept, Prefer, true),
            (Prefer, Accept, true),
            (Require, Accept, true),
            (Accept, Require, true),
            (Require, Require, true),
        ] {
            assert_eq!(both(ours, theirs).await, (encrypted, encrypted));
        }
    }

    #[tokio::test]
    async fn a_torrent_that_is_not_here_is_refused() {
        let (mut a, mut b) = tokio::io::duplex(4096);
        let responds = respond(&mut b, &[], Vec::new, Encryption::Accept);
        let initiates = initiate(&mut a, HASH, Encryption::Accept, b"");
        tokio::select! {
            refused = responds => assert!(matches!(refused, Err(MseError::NoTorrent))),
            _ = initiates => panic!("it cannot succeed"),
        }
    }

    #[test]
    fn the_secret_is_the_same_on_both_sides() {
        let a = KeyPair::from_exponent(U192::from_u64(0x1234_5678_9abc_def1));
        let b = KeyPair::generate().unwrap();
        assert_eq!(a.secret(&b.public), b.secret(&a.public));
        // 2 to the power of 3 is 8, whatever the modulus.
        let three = KeyPair::from_exponent(U192::from_u64(3));
        assert_eq!(three.public.last(), Some(&8));
        assert!(three.public.iter().rev().skip(1).all(|byte| *byte == 0));
    }

    proptest! {
        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (mut a, mut b) = tokio::io::duplex(8192);
                a.write_all(&bytes).await.unwrap();
                a.shutdown().await.unwrap();
                let answer = respond(&mut b, &[], || vec![HASH], Encryption::Accept).await;
                assert!(answer.is_err());
            });
        }
    }
}
