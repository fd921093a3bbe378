//! PostgreSQL's protocol, by the clients that people have: psql, ADBC's driver, psycopg.

mod drivers;
mod psql;
mod security;

use crate::support::Hitherto;
use crate::support::process::Served;

const DEFINITIONS: &str = "
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
description: what each leg was like
features:
  delay: {type: float64, description: minutes late at the gate}
  crew: int32
  diverted: bool
";

const LEGS: &str = "\
tailnum,event_timestamp,delay,crew,diverted
N1,2013-01-01T00:00:00Z,-3.5,4,false
N2,2013-01-01T01:00:00Z,12,5,true
N1,2013-01-01T02:00:00Z,,6,
";

/// Takes longer than any test waits.
const ENDLESS: &str = "select max(value % 7) as m from range(0, 1000000000000)";

/// Three legs in history.
fn place() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS).write("legs.csv", LEGS);
    place.ok("apply -f d.yaml");
    place.ok("ingest legs legs.csv");
    place
}

fn serve(place: &Hitherto) -> (Served, String) {
    let server = place.serve("--postgres 127.0.0.1:0");
    let address = server.postgres.clone().expect("it says where it is");
    (server, address)
}
