//! Benchmarks of Tessera: the load generator `tessera-bench` and the micro-benchmarks under `benches/`.
