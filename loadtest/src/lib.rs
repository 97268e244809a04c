//! Load from simulated agents by the hundred thousand: [`load`] drives light agents, and what they send is written by
//! the model of a stock agent, `agent-compat`.

pub mod load;
