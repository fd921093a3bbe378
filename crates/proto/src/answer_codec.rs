//! How the server's side of `GetFeatures` reads and writes messages.

use bytes::BufMut;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use crate::v1::GetFeaturesRequest;

/// Requests are read as ever; answers are bytes already, as [`AnswerWriter`](crate::AnswerWriter) has written them.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerCodec;

/// Hands bytes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written;

type Requests = ProstCodec<(), GetFeaturesRequest>;

impl Codec for AnswerCodec {
    type Encode = Vec<u8>;
    type Decode = GetFeaturesRequest;
    type Encoder = Written;
    type Decoder = <Requests as Codec>::Decoder;

    fn encoder(&mut self) -> Written {
        Written
    }

    fn decoder(&mut self) -> Self::Decoder {
        Requests::default().decoder()
    }
}

impl Encoder for Written {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, answer: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&answer);
        Ok(())
    }
}
