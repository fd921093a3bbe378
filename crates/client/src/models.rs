//! Models and aliases.

use hitherto_core::{Alias, ModelVersion, Name, Selector};
use hitherto_proto::{MoveAlias, RegisterModel, v1};

use crate::{Client, Result};

impl Client {
    /// Registers the next version of a model.
    pub async fn register_model(&self, wanted: RegisterModel) -> Result<ModelVersion> {
        let call = self.call("register a model");
        call.receive(self.models_service().register(call.send(wanted)?).await)
    }

    /// Points an alias at a version of a model, whose views must be online.
    pub async fn move_alias(&self, wanted: MoveAlias) -> Result<Alias> {
        let call = self.call("move an alias");
        call.receive(self.models_service().move_alias(call.send(wanted)?).await)
    }

    /// One version of a model: the latest, a number, or where an alias points.
    pub async fn model(&self, model: &Selector) -> Result<ModelVersion> {
        let call = self.call("get a model");
        let request = call.send_message(v1::GetModelRequest { model: model.to_string() });
        call.receive(self.models_service().get(request).await)
    }

    /// Every version of one model or of all, by name and version.
    pub async fn models(&self, model: Option<&Name>) -> Result<Vec<ModelVersion>> {
        let call = self.call("list models");
        let request = call.send_message(v1::ListModelsRequest { name: model.map(ToString::to_string) });
        call.receive_all(call.receive_message(self.models_service().list(request).await)?.models)
    }

    /// The aliases of one model or of all, by model and alias.
    pub async fn aliases(&self, model: Option<&Name>) -> Result<Vec<Alias>> {
        let call = self.call("list aliases");
        let request = call.send_message(v1::ListAliasesRequest { model: model.map(ToString::to_string) });
        call.receive_all(call.receive_message(self.models_service().list_aliases(request).await)?.aliases)
    }
}
