//! Takes what Pgpool-II remarks by the way out of a connection, before anything strict reads it.
//!
//! Pgpool-II 4.7 cuts the fields of such a message at 255 bytes and puts a stray byte behind each that it cut: a
//! client that takes the message for what the protocol says ends the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::route::Remark;

/// A connection to a server without its notices, which go to `remarks`.
pub struct Attentive<S> {
    inner: S,
    remarks: UnboundedSender<Remark>,
    /// Whether an error came, and not yet the end of the answer.
    erring: watch::Sender<bool>,
    /// What came and is no whole message yet.
    raw: Vec<u8>,
    /// What is to be handed on.
    clean: Vec<u8>,
}

impl<S> Attentive<S> {
    pub fn new(inner: S, remarks: UnboundedSender<Remark>, erring: watch::Sender<bool>) -> Self {
        Attentive {
            inner,
            remarks,
            erring,
            raw: Vec::new(),
            clean: Vec::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Attentive<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.clean.is_empty() {
            let mut space = [0; 8192];
            let mut part = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut part))?;
            if part.filled().is_empty() {
                // The end. What is left is no message.
                return Poll::Ready(Ok(()));
            }
            this.raw.extend_from_slice(part.filled());
            let sorted = sort(&mut this.raw, &mut this.clean);
            for remark in sorted.remarks {
                let _ = this.remarks.send(remark);
            }
            if let Some(erring) = sorted.erring {
                this.erring.send_replace(erring);
            }
        }
        let count = this.clean.len().min(buffer.remaining());
        buffer.put_slice(&this.clean[..count]);
        this.clean.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Attentive<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// What messages say to whom listens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    pub remarks: Vec<Remark>,
    /// Whether the last of errors and ends of answers is an error.
    pub erring: Option<bool>,
}

/// Moves the whole messages of `raw` to `clean`, but for notices, which it gives back. A message is a letter, its
/// length as four bytes that count themselves, and the rest.
pub fn sort(raw: &mut Vec<u8>, clean: &mut Vec<u8>) -> Sorted {
    let mut sorted = Sorted::default();
    while let Some((head, _)) = raw.split_first_chunk::<5>() {
        let [kind, length @ ..] = *head;
        let end = (u32::from_be_bytes(length) as usize).max(4).saturating_add(1);
        if raw.len() < end {
            break;
        }
        match kind {
            b'E' => sorted.erring = Some(true),
            b'Z' => sorted.erring = Some(false),
            _ => {}
        }
        match kind {
            b'N' => sorted.remarks.push(remark(&raw[5..end])),
            _ => clean.extend_from_slice(&raw[..end]),
        }
        raw.drain(..end);
    }
    sorted
}

/// The message and the detail: fields are a letter and a text, with zeroes between.
fn remark(body: &[u8]) -> Remark {
    let mut remark = Remark::default();
    for field in body.split(|byte| *byte == 0) {
        let text = |rest| String::from_utf8_lossy(rest).into_owned();
        match field {
            [b'M', rest @ ..] if remark.message.is_empty() => remark.message = text(rest),
            [b'D', rest @ ..] if remark.detail.is_empty() => remark.detail = text(rest),
            _ => {}
        }
    }
    remark
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn notices_are_taken_out_wherever_the_stream_is_cut() {
        let notice = message(b'N', b"SLOG\0C00000\0Mfirst\0Dsecond\0\0");
        let whole = [message(b'Z', b"I"), notice, message(b'1', b"")].concat();
        for cut in 0..whole.len() {
            let (mut raw, mut clean, mut remarks) = (Vec::new(), Vec::new(), Vec::new());
            for part in [&whole[..cut], &whole[cut..]] {
                raw.extend_from_slice(part);
                remarks.extend(sort(&mut raw, &mut clean).remarks);
            }
            assert_eq!(clean, [message(b'Z', b"I"), message(b'1', b"")].concat());
            let expected = Remark {
                message: "first".into(),
                detail: "second".into(),
            };
            assert_eq!(remarks, [expected]);
        }
    }

    #[test]
    fn a_stray_byte_behind_a_field_does_no_harm() {
        for stray in [0, b'x'] {
            let body = [b"SLOG\0Mlong\0", &[stray][..], b"Dmore\0\0"].concat();
            assert_eq!(remark(&body).message, "long", "{stray}");
        }
    }
}
