-- A database as Fleet 4.6x leaves it, as far as is publicly documented; of tables that are not read, four.
CREATE TABLE migration_status_tables (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, version_id bigint NOT NULL, is_applied tinyint(1) NOT NULL,
  tstamp timestamp NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO migration_status_tables (version_id, is_applied) VALUES (20161118193812, 1), (20241205122800, 1);

CREATE TABLE app_config_json (
  id int unsigned NOT NULL DEFAULT 1 PRIMARY KEY, json_value json NOT NULL,
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO app_config_json (json_value) VALUES ('{"org_info": {"org_name": "Otters", "org_logo_url": "https://example.com/logo.png"}, "server_settings": {"server_url": "https://fleet.example.com", "live_query_disabled": false}, "smtp_settings": {"port": 587, "password": "not-a-password"}, "agent_options": {"config": {"options": {"pack_delimiter": "/", "logger_plugin": "tls", "distributed_plugin": "tls", "disable_distributed": false, "distributed_interval": 7, "logger_tls_endpoint": "/api/osquery/log", "distributed_tls_max_attempts": 3, "no_such_flag": 1.5}, "decorators": {"load": ["SELECT uuid AS host_uuid FROM system_info;"]}}, "overrides": {}}, "host_expiry_settings": {"host_expiry_enabled": false}}');
-- Left over from 3.x, and not in force.
CREATE TABLE osquery_options (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, override_type int(1) NOT NULL,
  override_identifier varchar(255) NOT NULL DEFAULT '', options json NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO osquery_options (override_type, options) VALUES (0, '{"options": {"distributed_interval": 99}}');

CREATE TABLE teams (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  name varchar(255) NOT NULL, description varchar(1023) NOT NULL DEFAULT '', config json DEFAULT NULL, UNIQUE KEY idx_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO teams (id, name) VALUES (3, 'Workstations');
CREATE TABLE enroll_secrets (
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  secret varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, team_id int unsigned DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO enroll_secrets (secret, team_id) VALUES ('secret-of-four', NULL), ('secret-of-the-team', 3);

CREATE TABLE users (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, password varbinary(255) NOT NULL, salt varchar(255) NOT NULL,
  name varchar(255) NOT NULL DEFAULT '', email varchar(255) NOT NULL, admin_forced_password_reset tinyint(1) NOT NULL DEFAULT 0,
  gravatar_url varchar(255) NOT NULL DEFAULT '', position varchar(255) NOT NULL DEFAULT '',
  sso_enabled tinyint NOT NULL DEFAULT 0, global_role varchar(64) DEFAULT NULL, api_only tinyint(1) NOT NULL DEFAULT 0,
  UNIQUE KEY idx_user_unique_email (email)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO users (password, salt, name, email, global_role, api_only, sso_enabled) VALUES
  ('$2a$12$not-a-real-hash', 'salt', 'Ada', 'Ada@example.com', 'admin', 0, 0),
  ('$2a$12$not-a-real-hash', 'salt', 'Bob', 'bob@example.com', 'maintainer', 1, 0),
  ('$2a$12$not-a-real-hash', 'salt', 'Gone', 'gone@example.com', NULL, 0, 1),
  ('$2a$12$not-a-real-hash', 'salt', 'Same', 'admin@example.com', 'observer', 0, 0);

CREATE TABLE hosts (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, osquery_host_id varchar(255) DEFAULT NULL,
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP,
  detail_updated_at timestamp NULL DEFAULT NULL,
  node_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL, hostname varchar(255) NOT NULL DEFAULT '',
  uuid varchar(255) NOT NULL DEFAULT '', platform varchar(255) NOT NULL DEFAULT '',
  osquery_version varchar(255) NOT NULL DEFAULT '', os_version varchar(255) NOT NULL DEFAULT '',
  build varchar(255) NOT NULL DEFAULT '', platform_like varchar(255) NOT NULL DEFAULT '',
  code_name varchar(255) NOT NULL DEFAULT '', uptime bigint NOT NULL DEFAULT 0, memory bigint NOT NULL DEFAULT 0,
  cpu_type varchar(255) NOT NULL DEFAULT '', cpu_subtype varchar(255) NOT NULL DEFAULT '',
  cpu_brand varchar(255) NOT NULL DEFAULT '', cpu_physical_cores int NOT NULL DEFAULT 0,
  cpu_logical_cores int NOT NULL DEFAULT 0, hardware_vendor varchar(255) NOT NULL DEFAULT '',
  hardware_model varchar(255) NOT NULL DEFAULT '', hardware_version varchar(255) NOT NULL DEFAULT '',
  hardware_serial varchar(255) NOT NULL DEFAULT '', computer_name varchar(255) NOT NULL DEFAULT '',
  primary_ip_id int unsigned DEFAULT NULL, distributed_interval int DEFAULT 0, logger_tls_period int DEFAULT 0,
  config_tls_refresh int DEFAULT 0, primary_ip varchar(45) NOT NULL DEFAULT '', primary_mac varchar(17) NOT NULL DEFAULT '',
  label_updated_at timestamp NOT NULL DEFAULT '2000-01-01 00:00:00', last_enrolled_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  refetch_requested tinyint(1) NOT NULL DEFAULT 0, team_id int unsigned DEFAULT NULL,
  policy_updated_at timestamp NOT NULL DEFAULT '2000-01-01 00:00:00', public_ip varchar(45) NOT NULL DEFAULT '',
  orbit_node_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  refetch_critical_queries_until timestamp NULL DEFAULT NULL, timezone varchar(255) DEFAULT NULL,
  UNIQUE KEY idx_osquery_host_id (osquery_host_id), UNIQUE KEY idx_host_unique_nodekey (node_key)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE host_disks (
  host_id int unsigned NOT NULL PRIMARY KEY, gigs_disk_space_available decimal(10,2) NOT NULL DEFAULT '0.00',
  percent_disk_space_available decimal(10,2) NOT NULL DEFAULT '0.00', encrypted tinyint(1) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE host_seen_times (
  host_id int unsigned NOT NULL PRIMARY KEY, seen_time timestamp NULL DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE labels (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, name varchar(255) NOT NULL, description varchar(255) DEFAULT NULL,
  query mediumtext NOT NULL, platform varchar(255) DEFAULT NULL, label_type int unsigned NOT NULL DEFAULT 1,
  label_membership_type int unsigned NOT NULL DEFAULT 0, author_id int unsigned DEFAULT NULL, criteria json DEFAULT NULL,
  UNIQUE KEY idx_label_unique_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO labels (id, created_at, updated_at, name, description, query, platform, label_type, label_membership_type) VALUES
  (6, '2020-01-01', '2020-01-01', 'All Hosts', 'All hosts', 'select 1;', '', 1, 0),
  (9, '2020-01-01', '2020-01-01', 'Ubuntu Linux', '', 'select 1 from os_version where platform = ''ubuntu'';', 'ubuntu', 1, 0),
  (20, '2020-01-01', '2020-01-01', 'servers', 'By hand', '', NULL, 0, 1),
  (21, '2020-01-01', '2020-01-01', 'odd ones', NULL, 'SELECT 1 FROM system_info WHERE hostname LIKE ''%-001%''', '', 0, 0),
  (22, '2020-01-01', '2020-01-01', 'by vitals', '', '', '', 0, 2),
  (23, '2020-01-01', '2020-01-01', 'iOS', 'All iOS hosts', '', 'ios', 1, 0);
CREATE TABLE label_membership (
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP,
  label_id int unsigned NOT NULL, host_id int unsigned NOT NULL, PRIMARY KEY (host_id, label_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE packs (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, disabled tinyint(1) NOT NULL DEFAULT 0, name varchar(255) NOT NULL,
  description varchar(255) DEFAULT NULL, platform varchar(255) DEFAULT NULL, pack_type varchar(255) DEFAULT NULL,
  UNIQUE KEY idx_pack_unique_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO packs (id, disabled, name, description, platform, pack_type) VALUES
  (2, 0, 'servers only', '', 'linux', NULL), (3, 1, 'off', '', '', NULL), (5, 0, 'everywhere', NULL, NULL, NULL);
CREATE TABLE pack_targets (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, pack_id int unsigned DEFAULT NULL, type int DEFAULT NULL,
  target_id int unsigned NOT NULL, UNIQUE KEY constraint_pack_target_unique (pack_id, target_id, type)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO pack_targets (pack_id, type, target_id) VALUES (2, 0, 20), (2, 1, 1), (3, 0, 6), (5, 0, 6);

CREATE TABLE queries (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, saved tinyint(1) NOT NULL DEFAULT 0, name varchar(255) NOT NULL,
  description mediumtext NOT NULL, query mediumtext NOT NULL, author_id int unsigned DEFAULT NULL,
  observer_can_run tinyint(1) NOT NULL DEFAULT 0, team_id int unsigned DEFAULT NULL, team_id_char char(10) NOT NULL DEFAULT '',
  platform varchar(255) NOT NULL DEFAULT '', min_osquery_version varchar(255) NOT NULL DEFAULT '',
  schedule_interval int unsigned NOT NULL DEFAULT 0, automations_enabled tinyint(1) unsigned NOT NULL DEFAULT 0,
  logging_type varchar(255) NOT NULL DEFAULT 'snapshot', discard_data tinyint(1) NOT NULL DEFAULT 1,
  is_scheduled tinyint(1) GENERATED ALWAYS AS (schedule_interval > 0) STORED,
  UNIQUE KEY idx_team_id_name_unq (team_id_char, name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO queries (id, saved, name, description, query, author_id, observer_can_run, team_id, team_id_char, schedule_interval, automations_enabled, logging_type) VALUES
  (1, 1, 'uptime', 'How long', 'SELECT * FROM uptime', 1, 1, NULL, '', 60, 1, 'snapshot'),
  (2, 1, 'kernel', '', 'SELECT * FROM kernel_info', NULL, 0, NULL, '', 0, 0, 'snapshot'),
  (3, 0, 'distributed_ada_1', '', 'SELECT 2', 1, 0, NULL, '', 0, 0, 'snapshot'),
  (4, 1, 'with: colon', '', 'SELECT 3', 1, 0, NULL, '', 0, 0, 'snapshot'),
  (5, 1, 'uptime', 'Of the team', 'SELECT 5', 1, 0, 3, '3', 60, 1, 'snapshot'),
  (6, 1, 'not sent', '', 'SELECT 6', 1, 0, NULL, '', 60, 0, 'snapshot'),
  (7, 1, 'of a label', '', 'SELECT 7', 1, 0, NULL, '', 30, 1, 'differential_ignore_removals');
CREATE TABLE query_labels (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, query_id int unsigned NOT NULL, label_id int unsigned NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO query_labels (query_id, label_id) VALUES (7, 21);
CREATE TABLE scheduled_queries (
  id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp NULL DEFAULT CURRENT_TIMESTAMP, pack_id int unsigned DEFAULT NULL, query_id int unsigned DEFAULT NULL,
  `interval` int unsigned DEFAULT NULL, snapshot tinyint(1) DEFAULT NULL, removed tinyint(1) DEFAULT NULL,
  platform varchar(255) DEFAULT '', version varchar(255) DEFAULT '', shard int unsigned DEFAULT NULL,
  query_name varchar(255) NOT NULL, name varchar(255) NOT NULL, description varchar(1023) DEFAULT '',
  denylist tinyint(1) DEFAULT NULL, team_id_char char(10) NOT NULL DEFAULT '', UNIQUE KEY unique_names_in_packs (name, pack_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO scheduled_queries (pack_id, query_id, `interval`, snapshot, removed, platform, version, shard, query_name, name) VALUES
  (2, 2, 3600, NULL, NULL, 'linux', '3.3.0', 100, 'kernel', 'kernel of servers'),
  (3, 1, 10, 1, 0, '', '', NULL, 'uptime', 'uptime'),
  (5, 1, 60, 1, 0, NULL, NULL, 0, 'uptime', 'uptime'), (5, 4, 60, 1, 0, '', '', NULL, 'with: colon', 'with: colon');

CREATE TABLE nano_enrollments (id varchar(255) NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO nano_enrollments VALUES ('a device');
CREATE TABLE policies (id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, query_id int unsigned NOT NULL) ENGINE=InnoDB;
INSERT INTO policies (query_id) VALUES (1), (2);
CREATE TABLE software (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, name varchar(255) NOT NULL) ENGINE=InnoDB;
CREATE TABLE sessions (id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id int unsigned NOT NULL, `key` varchar(255) NOT NULL) ENGINE=InnoDB;
INSERT INTO sessions (user_id, `key`) VALUES (1, 'not-a-session');
