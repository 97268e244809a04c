mod answer;
mod distributed;
mod enroll;
mod log;
mod properties;
mod rows;
mod scan;
