-- A database as kolide's Fleet 3.x leaves it, as far as is publicly documented; of tables that are not read, two.
CREATE TABLE migration_status_tables (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, version_id bigint NOT NULL, is_applied tinyint(1) NOT NULL,
  tstamp timestamp NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO migration_status_tables (version_id, is_applied) VALUES (20161118193812, 1), (20210119174155, 1);

CREATE TABLE app_configs (
  id int unsigned NOT NULL DEFAULT 1 PRIMARY KEY, org_name varchar(255) NOT NULL DEFAULT '',
  org_logo_url varchar(255) NOT NULL DEFAULT '', kolide_server_url varchar(255) NOT NULL DEFAULT '',
  smtp_configured tinyint(1) NOT NULL DEFAULT 0, host_expiry_enabled tinyint(1) DEFAULT 0, additional_queries json
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO app_configs (org_name, kolide_server_url) VALUES ('Dolphins', 'https://fleet.example.com:8412');

CREATE TABLE osquery_options (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, override_type int(1) NOT NULL,
  override_identifier varchar(255) NOT NULL DEFAULT '', options json NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO osquery_options (override_type, override_identifier, options) VALUES
  (0, '', '{"options": {"pack_delimiter": "/", "logger_plugin": "tls", "distributed_plugin": "tls", "disable_distributed": false, "distributed_interval": 7, "logger_tls_endpoint": "/api/v1/osquery/log", "distributed_tls_max_attempts": 3}, "decorators": {"load": ["SELECT uuid AS host_uuid FROM system_info;"]}}'),
  (1, 'darwin', '{"options": {"pack_delimiter": "/", "logger_plugin": "tls", "distributed_plugin": "tls", "disable_distributed": false, "distributed_interval": 9}}');

CREATE TABLE enroll_secrets (
  name varchar(255) NOT NULL PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  secret varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, active tinyint(1) DEFAULT 1
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO enroll_secrets (name, secret, active) VALUES
  ('default', 'secret-of-three', 1), ('former', 'former-secret-of-three', 0);

CREATE TABLE users (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, username varchar(255) NOT NULL, password varbinary(255) NOT NULL,
  salt varchar(255) NOT NULL, name varchar(255) NOT NULL DEFAULT '', email varchar(255) NOT NULL,
  admin tinyint(1) NOT NULL DEFAULT 0, enabled tinyint(1) NOT NULL DEFAULT 0,
  admin_forced_password_reset tinyint(1) NOT NULL DEFAULT 0, gravatar_url varchar(255) NOT NULL DEFAULT '',
  position varchar(255) NOT NULL DEFAULT '', sso_enabled tinyint NOT NULL DEFAULT 0,
  UNIQUE KEY idx_user_unique_email (email)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO users (username, password, salt, name, email, admin, enabled) VALUES
  ('ada', '$2a$12$not-a-real-hash', 'salt', 'Ada', 'Ada@example.com', 1, 1),
  ('bob', '$2a$12$not-a-real-hash', 'salt', 'Bob', 'bob@example.com', 0, 1),
  ('gone', '$2a$12$not-a-real-hash', 'salt', 'Gone', 'gone@example.com', 1, 0);

CREATE TABLE hosts (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, osquery_host_id varchar(255) NOT NULL,
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP,
  detail_update_time timestamp NULL DEFAULT NULL,
  node_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL, host_name varchar(255) NOT NULL DEFAULT '',
  uuid varchar(255) NOT NULL DEFAULT '', platform varchar(255) NOT NULL DEFAULT '',
  osquery_version varchar(255) NOT NULL DEFAULT '', os_version varchar(255) NOT NULL DEFAULT '',
  build varchar(255) NOT NULL DEFAULT '', platform_like varchar(255) NOT NULL DEFAULT '',
  code_name varchar(255) NOT NULL DEFAULT '', uptime bigint NOT NULL DEFAULT 0, physical_memory bigint NOT NULL DEFAULT 0,
  cpu_type varchar(255) NOT NULL DEFAULT '', cpu_subtype varchar(255) NOT NULL DEFAULT '',
  cpu_brand varchar(255) NOT NULL DEFAULT '', cpu_physical_cores int NOT NULL DEFAULT 0,
  cpu_logical_cores int NOT NULL DEFAULT 0, hardware_vendor varchar(255) NOT NULL DEFAULT '',
  hardware_model varchar(255) NOT NULL DEFAULT '', hardware_version varchar(255) NOT NULL DEFAULT '',
  hardware_serial varchar(255) NOT NULL DEFAULT '', computer_name varchar(255) NOT NULL DEFAULT '',
  primary_ip_id int unsigned DEFAULT NULL, seen_time timestamp NULL DEFAULT NULL, distributed_interval int DEFAULT 0,
  logger_tls_period int DEFAULT 0, config_tls_refresh int DEFAULT 0, primary_ip varchar(45) NOT NULL DEFAULT '',
  primary_mac varchar(17) NOT NULL DEFAULT '', label_update_time timestamp NOT NULL DEFAULT '2000-01-01 00:00:00',
  additional json DEFAULT NULL, enroll_secret_name varchar(255) NOT NULL DEFAULT '',
  last_enroll_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  UNIQUE KEY idx_host_unique_nodekey (node_key), UNIQUE KEY idx_osquery_host_id (osquery_host_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE labels (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, name varchar(255) NOT NULL, description varchar(255) DEFAULT NULL,
  query mediumtext NOT NULL, platform varchar(255) DEFAULT NULL, label_type int unsigned NOT NULL DEFAULT 1,
  label_membership_type int unsigned NOT NULL DEFAULT 0, UNIQUE KEY idx_label_unique_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO labels (id, created_at, updated_at, name, description, query, platform, label_type, label_membership_type) VALUES
  (6, '2020-01-01', '2020-01-01', 'All Hosts', 'All hosts', 'select 1;', '', 1, 0),
  (7, '2020-01-01', '2020-01-01', 'macOS', '', 'select 1 from os_version where platform = ''darwin'';', 'darwin', 1, 0),
  (20, '2020-01-01', '2020-01-01', 'servers', 'By hand', '', NULL, 0, 1),
  (21, '2020-01-01', '2020-01-01', 'odd ones', NULL, 'SELECT 1 FROM system_info WHERE hostname LIKE ''%-001%''', '', 0, 0);

CREATE TABLE label_membership (
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP,
  label_id int unsigned NOT NULL, host_id int unsigned NOT NULL, PRIMARY KEY (host_id, label_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE packs (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, disabled tinyint(1) NOT NULL DEFAULT 0, name varchar(255) NOT NULL,
  description varchar(255) DEFAULT NULL, platform varchar(255) DEFAULT NULL, UNIQUE KEY idx_pack_unique_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO packs (id, disabled, name, description, platform) VALUES
  (1, 0, 'everywhere', NULL, NULL), (2, 0, 'servers only', '', 'linux'), (3, 1, 'off', '', '');

CREATE TABLE pack_targets (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, pack_id int unsigned DEFAULT NULL, type int DEFAULT NULL,
  target_id int unsigned NOT NULL, UNIQUE KEY constraint_pack_target_unique (pack_id, target_id, type)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO pack_targets (pack_id, type, target_id) VALUES (1, 0, 6), (2, 0, 20), (2, 1, 1), (3, 0, 6);

CREATE TABLE queries (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, saved tinyint(1) NOT NULL DEFAULT 0, name varchar(255) NOT NULL,
  description mediumtext NOT NULL, query mediumtext NOT NULL, author_id int unsigned DEFAULT NULL,
  UNIQUE KEY idx_query_unique_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO queries (id, saved, name, description, query, author_id) VALUES
  (1, 1, 'uptime', 'How long', 'SELECT * FROM uptime', 1), (2, 1, 'kernel', '', 'SELECT * FROM kernel_info', NULL),
  (3, 0, 'distributed_ada_1', '', 'SELECT 2', 1);

CREATE TABLE scheduled_queries (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, pack_id int unsigned DEFAULT NULL, query_id int unsigned DEFAULT NULL,
  `interval` int unsigned DEFAULT NULL, snapshot tinyint(1) DEFAULT NULL, removed tinyint(1) DEFAULT NULL,
  platform varchar(255) DEFAULT '', version varchar(255) DEFAULT '', shard int unsigned DEFAULT NULL,
  query_name varchar(255) NOT NULL, name varchar(255) NOT NULL, description varchar(1023) DEFAULT '',
  denylist tinyint(1) DEFAULT NULL, UNIQUE KEY unique_names_in_packs (name, pack_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO scheduled_queries (pack_id, query_id, `interval`, snapshot, removed, platform, version, shard, query_name, name) VALUES
  (1, 1, 60, 1, 0, NULL, NULL, 0, 'uptime', 'uptime'), (1, 1, 0, 1, 0, '', '', NULL, 'uptime', 'never'),
  (2, 2, 3600, NULL, NULL, 'linux', '3.3.0', 100, 'kernel', 'kernel of servers'), (3, 1, 10, 1, 0, '', '', NULL, 'uptime', 'uptime');

CREATE TABLE sessions (id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id int unsigned NOT NULL, `key` varchar(255) NOT NULL) ENGINE=InnoDB;
INSERT INTO sessions (user_id, `key`) VALUES (1, 'not-a-session');
CREATE TABLE carve_metadata (id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, host_id int unsigned NOT NULL) ENGINE=InnoDB;
