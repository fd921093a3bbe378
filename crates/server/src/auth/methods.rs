//! Which role each method and each page needs: the one table. What is not in it, no role may call.

use std::collections::HashMap;
use std::sync::LazyLock;

use hitherto_core::Role;

/// What a caller must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: it is open to everybody who can connect.
    Nothing,
    /// A token with this role, or a greater one.
    Role(Role),
}

const READER: Needs = Needs::Role(Role::Reader);
const WRITER: Needs = Needs::Role(Role::Writer);
const ADMIN: Needs = Needs::Role(Role::Admin);

/// What whoever speaks PostgreSQL's protocol needs: everything there is a query.
pub(crate) const POSTGRES: Role = Role::Reader;

/// Paths of methods. A writer moves aliases as their gates let it; definitions are an admin's. Flight only reads: what is put
/// there is the spine of a training set, or the parameters of a query. Health is open, so that a balancer can ask.
const METHODS: [(&str, Needs); 34] = [
    ("/hitherto.v1.OnlineFeatures/GetFeatures", READER),
    ("/hitherto.v1.Ingest/Push", WRITER),
    ("/hitherto.v1.Ingest/PushStream", WRITER),
    ("/hitherto.v1.Registry/Plan", READER),
    ("/hitherto.v1.Registry/Apply", ADMIN),
    ("/hitherto.v1.Registry/ListEntities", READER),
    ("/hitherto.v1.Registry/DescribeEntity", READER),
    ("/hitherto.v1.Registry/ListFeatureViews", READER),
    ("/hitherto.v1.Registry/DescribeFeatureView", READER),
    ("/hitherto.v1.Registry/ListFeatureSets", READER),
    ("/hitherto.v1.Registry/DescribeFeatureSet", READER),
    ("/hitherto.v1.Registry/GetCatalogRevision", READER),
    ("/hitherto.v1.Models/Register", WRITER),
    ("/hitherto.v1.Models/MoveAlias", WRITER),
    ("/hitherto.v1.Models/Get", READER),
    ("/hitherto.v1.Models/List", READER),
    ("/hitherto.v1.Models/ListAliases", READER),
    ("/hitherto.v1.TrainingSets/Create", READER),
    ("/hitherto.v1.TrainingSets/Get", READER),
    ("/hitherto.v1.TrainingSets/List", READER),
    ("/arrow.flight.protocol.FlightService/Handshake", READER),
    ("/arrow.flight.protocol.FlightService/ListFlights", READER),
    ("/arrow.flight.protocol.FlightService/GetFlightInfo", READER),
    ("/arrow.flight.protocol.FlightService/PollFlightInfo", READER),
    ("/arrow.flight.protocol.FlightService/GetSchema", READER),
    ("/arrow.flight.protocol.FlightService/DoGet", READER),
    ("/arrow.flight.protocol.FlightService/DoPut", READER),
    ("/arrow.flight.protocol.FlightService/DoExchange", READER),
    ("/arrow.flight.protocol.FlightService/DoAction", READER),
    ("/arrow.flight.protocol.FlightService/ListActions", READER),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READER),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", READER),
    ("/grpc.health.v1.Health/Check", Needs::Nothing),
    ("/grpc.health.v1.Health/Watch", Needs::Nothing),
];

static BY_PATH: LazyLock<HashMap<&'static str, (&'static str, Needs)>> =
    LazyLock::new(|| METHODS.iter().map(|(path, needs)| (*path, (*path, *needs))).collect());

/// The method's path and what it needs; none of a method that is not in the table.
pub(crate) fn method(path: &str) -> Option<(&'static str, Needs)> {
    BY_PATH.get(path).copied()
}

/// What a page needs: those that probes ask for are open, and whatever else there is or may be is for readers.
pub(crate) fn page(path: &str) -> Needs {
    match path {
        "/healthz" | "/readyz" => Needs::Nothing,
        _ => READER,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method of a compiled set of files.
    fn methods_of(descriptors: &[u8]) -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(descriptors).expect("descriptors");
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                let name = format!("/{}.{}", file.package(), service.name());
                paths.extend(service.method.iter().map(|method| format!("{name}/{}", method.name())));
            }
        }
        paths
    }

    #[test]
    fn every_method_that_is_served_is_in_the_table_and_no_other() {
        let served: BTreeSet<String> = [
            hitherto_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ]
        .into_iter()
        .flat_map(methods_of)
        .collect();
        assert!(served.contains("/hitherto.v1.Ingest/Push") && served.len() > 20, "{served:?}");
        let is_flight = |path: &str| path.starts_with("/arrow.flight.protocol.FlightService/");
        let table: BTreeSet<String> =
            METHODS.iter().map(|(path, _)| (*path).to_owned()).filter(|path| !is_flight(path)).collect();
        assert_eq!(table, served);
        assert_eq!(BY_PATH.len(), METHODS.len(), "none is there twice");
    }

    #[test]
    fn what_changes_something_needs_more_than_a_reader() {
        let needs = |path: &str| method(path).map(|(_, needs)| needs);
        let more: Vec<&str> = METHODS
            .iter()
            .filter(|(_, needs)| ![READER, Needs::Nothing].contains(needs))
            .map(|(path, _)| *path)
            .collect();
        let expected = [
            "/hitherto.v1.Ingest/Push",
            "/hitherto.v1.Ingest/PushStream",
            "/hitherto.v1.Registry/Apply",
            "/hitherto.v1.Models/Register",
            "/hitherto.v1.Models/MoveAlias",
        ];
        assert_eq!(more, expected);
        assert_eq!(needs("/hitherto.v1.Registry/Apply"), Some(ADMIN));
        assert_eq!(needs("/hitherto.v1.Ingest/Push"), Some(WRITER));
        assert_eq!(needs("/grpc.health.v1.Health/Check"), Some(Needs::Nothing));
        for path in
            ["", "/", "/hitherto.v1.Registry/apply", "/hitherto.v1.Registry/Appl%79", "/hitherto.v2.Ingest/Push"]
        {
            assert_eq!(needs(path), None, "{path}");
        }
        assert_eq!(
            [page("/readyz"), page("/metrics"), page("/readyz/"), page("/")],
            [Needs::Nothing, READER, READER, READER]
        );
    }
}
