//! Answers that are not read: what a client costs at least.

use bytes::Buf;
use hitherto_proto::v1;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::Client;

const PATH: &str = "/hitherto.v1.OnlineFeatures/GetFeatures";

type Read = ProstCodec<v1::GetFeaturesRequest, v1::GetFeaturesResponse>;

/// Sends requests as they are always sent, and counts an answer's bytes.
struct Unread(Read);

/// Counts the bytes.
struct Bytes;

/// The number of bytes of the answer.
pub(super) async fn answered_bytes(
    client: &Client,
    request: Request<v1::GetFeaturesRequest>,
) -> Result<Response<usize>, Status> {
    let mut service = Grpc::new(client.channel.clone());
    service.ready().await.map_err(|error| Status::from_error(error.into()))?;
    service.unary(request, PathAndQuery::from_static(PATH), Unread(Read::default())).await
}

impl Codec for Unread {
    type Encode = v1::GetFeaturesRequest;
    type Decode = usize;
    type Encoder = <Read as Codec>::Encoder;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Decoder for Bytes {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let bytes = source.remaining();
        source.advance(bytes);
        Ok(Some(bytes))
    }
}
