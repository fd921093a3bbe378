//! The definitions that come with the project parse, plan, and pin what they say.

use hitherto_core::{Catalog, NewTables, parse_definitions, plan};

#[test]
fn the_flights_definitions_can_be_applied() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/flights/definitions.yaml");
    let text = std::fs::read_to_string(path).expect("the definitions");
    let wanted = parse_definitions(&[("definitions.yaml".to_owned(), text)]).expect("definitions that parse");
    let planned = plan(&Catalog::default(), &wanted, NewTables::Refuse).expect("a plan");
    let catalog = planned.catalog_after(&Catalog::default());
    assert_eq!((catalog.entities.len(), catalog.views.len(), catalog.tables.len()), (3, 4, 4));
    let set = &catalog.sets["late_arrival"][0];
    assert_eq!((set.version, set.resolved.transforms.len()), (1, 1));
    let outputs: Vec<_> = set.resolved.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!((set.resolved.uses.len(), outputs.len(), outputs[9]), (4, 13, "gust"));
}
