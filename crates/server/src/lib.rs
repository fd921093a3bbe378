//! The service: gRPC, health, reflection, HTTP metrics.
