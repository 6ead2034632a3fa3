//! A body from memory, on its way in pieces: the HTTP client copies a piece before it sends it, and
//! would otherwise copy a whole part.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sigv4::http_request::SignableBody;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Bytes of a piece.
const PIECE: usize = 256 << 10;

/// The body of a request, and what its signature says of it.
pub(super) fn body(bytes: &Bytes, unsigned: bool) -> (ByteStream, Signed) {
    let signed = if unsigned {
        Signed(PayloadSigningOverride::UnsignedPayload)
    } else {
        let sha256 = Sha256::digest(bytes);
        Signed(PayloadSigningOverride::Precomputed(sha256.iter().map(|byte| format!("{byte:02x}")).collect()))
    };
    (ByteStream::new(SdkBody::from_body_1_x(Pieces(bytes.clone()))), signed)
}

/// What a signature says of the body: its SHA-256, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Signed(PayloadSigningOverride);

impl Signed {
    /// For a body that cannot be read before it is sent.
    pub(super) fn unsigned() -> Self {
        Self(PayloadSigningOverride::UnsignedPayload)
    }

    /// For none.
    pub(super) fn empty() -> Self {
        Self(PayloadSigningOverride::Precomputed(EMPTY.to_owned()))
    }

    /// The same, for what is not signed by the SDK.
    pub(super) fn to_sign(&self) -> SignableBody<'static> {
        self.0.clone().to_signable_body()
    }

    /// For one whose checksum follows it.
    pub(super) fn with_trailer() -> Self {
        Self(PayloadSigningOverride::StreamingUnsignedPayloadTrailer)
    }
}

impl Intercept for Signed {
    fn name(&self) -> &'static str {
        "Signed"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(self.0.clone());
        Ok(())
    }
}

struct Pieces(Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.0.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
