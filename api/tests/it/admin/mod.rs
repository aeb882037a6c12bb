mod find;
mod init;
mod lifecycle;
mod loadtokens;
mod session;
mod set;
mod show;
mod types;
