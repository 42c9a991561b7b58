-- G3, as dumped in 2025-10: VM contexts that everything hangs on with cascades, enumerated statuses, JSON columns with a
-- check, one stable row for each disk.
CREATE TABLE ossea_configs (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(191) NOT NULL UNIQUE,
  api_url VARCHAR(191) NOT NULL DEFAULT '',
  api_key VARCHAR(191) NOT NULL DEFAULT '',
  secret_key VARCHAR(191) NOT NULL DEFAULT '',
  domain VARCHAR(191),
  zone VARCHAR(191),
  template_id VARCHAR(191),
  network_id VARCHAR(191),
  service_offering_id VARCHAR(191),
  disk_offering_id VARCHAR(191),
  oma_vm_id VARCHAR(191),
  is_active TINYINT(1) DEFAULT 1
) ENGINE=InnoDB;

CREATE TABLE vmware_credentials (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(255) NOT NULL UNIQUE,
  password_encrypted TEXT
) ENGINE=InnoDB;

CREATE TABLE vm_replication_contexts (
  context_id VARCHAR(64) PRIMARY KEY,
  vm_name VARCHAR(255) NOT NULL,
  vmware_vm_id VARCHAR(255) NOT NULL,
  vm_path VARCHAR(500) NOT NULL DEFAULT '',
  vcenter_host VARCHAR(255) NOT NULL DEFAULT '',
  datacenter VARCHAR(255) NOT NULL DEFAULT '',
  current_status ENUM('discovered','replicating','ready_for_failover','failed_over_test','failed_over_live','completed','failed','cleanup_required') DEFAULT 'discovered',
  current_job_id VARCHAR(191),
  last_successful_job_id VARCHAR(191),
  last_operation_summary LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin CHECK (json_valid(last_operation_summary)),
  credential_id INT,
  ossea_config_id INT,
  last_status_change TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  UNIQUE KEY (vm_name, vcenter_host), UNIQUE KEY (vmware_vm_id, vcenter_host),
  FOREIGN KEY (credential_id) REFERENCES vmware_credentials (id) ON DELETE SET NULL
) ENGINE=InnoDB;

CREATE TABLE replication_jobs (
  id VARCHAR(191) PRIMARY KEY,
  vm_context_id VARCHAR(64),
  source_vm_id LONGTEXT NOT NULL,
  source_vm_name LONGTEXT NOT NULL,
  source_vm_path LONGTEXT NOT NULL DEFAULT '',
  v_center_host LONGTEXT NOT NULL DEFAULT '',
  datacenter LONGTEXT NOT NULL DEFAULT '',
  replication_type LONGTEXT NOT NULL DEFAULT '',
  status VARCHAR(191) DEFAULT 'pending',
  progress_percent DOUBLE DEFAULT 0,
  change_id LONGTEXT,
  ossea_config_id INT,
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  schedule_execution_id VARCHAR(64),
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE,
  FOREIGN KEY (ossea_config_id) REFERENCES ossea_configs (id)
) ENGINE=InnoDB;

CREATE TABLE ossea_volumes (
  id INT AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64),
  volume_id VARCHAR(191) UNIQUE,
  volume_name VARCHAR(191),
  size_gb BIGINT,
  ossea_config_id INT,
  volume_type VARCHAR(191),
  status VARCHAR(191),
  snapshot_id VARCHAR(191),
  snapshot_created_at DATETIME(3) NULL,
  snapshot_status VARCHAR(50) DEFAULT 'none',
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE,
  FOREIGN KEY (ossea_config_id) REFERENCES ossea_configs (id)
) ENGINE=InnoDB;

CREATE TABLE vm_disks (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64),
  job_id VARCHAR(191),
  disk_id VARCHAR(191),
  vm_dk_path LONGTEXT,
  size_gb BIGINT,
  datastore LONGTEXT,
  unit_number BIGINT,
  label LONGTEXT,
  capacity_bytes BIGINT,
  provisioning_type LONGTEXT,
  ossea_volume_id BIGINT,
  disk_change_id LONGTEXT,
  sync_status VARCHAR(191),
  cpu_count INT DEFAULT 0,
  memory_mb INT DEFAULT 0,
  os_type VARCHAR(255) DEFAULT '',
  vm_tools_version VARCHAR(255) DEFAULT '',
  network_config TEXT,
  display_name VARCHAR(255) DEFAULT '',
  annotation TEXT,
  power_state VARCHAR(50) DEFAULT '',
  vmware_uuid VARCHAR(255) DEFAULT '',
  bios_setup TEXT,
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  UNIQUE KEY uk_context_disk (vm_context_id, disk_id),
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE,
  FOREIGN KEY (job_id) REFERENCES replication_jobs (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE cbt_history (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64),
  job_id VARCHAR(191),
  disk_id LONGTEXT NOT NULL,
  change_id LONGTEXT NOT NULL,
  previous_change_id LONGTEXT,
  sync_type LONGTEXT,
  blocks_changed BIGINT,
  bytes_transferred BIGINT,
  sync_success TINYINT(1),
  created_at DATETIME(3) NULL,
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE,
  FOREIGN KEY (job_id) REFERENCES replication_jobs (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE network_mappings (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64),
  vm_id VARCHAR(255) NOT NULL,
  vmware_vm_id VARCHAR(255),
  source_network_name VARCHAR(255) NOT NULL,
  destination_network_id VARCHAR(255) NOT NULL,
  destination_network_name VARCHAR(255) NOT NULL,
  is_test_network TINYINT(1) DEFAULT 0,
  mapping_type ENUM('live','test','both') DEFAULT 'live',
  validation_status ENUM('pending','valid','invalid') DEFAULT 'pending',
  network_strategy VARCHAR(50),
  last_validated TIMESTAMP NULL,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY uk_vm_network (vm_id, source_network_name, is_test_network),
  UNIQUE KEY uk_context_network (vm_context_id, source_network_name, is_test_network),
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE failover_jobs (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64),
  job_id VARCHAR(255) UNIQUE NOT NULL,
  vm_id VARCHAR(255) NOT NULL,
  replication_job_id VARCHAR(255),
  job_type ENUM('live','test') NOT NULL,
  status ENUM('pending','validating','snapshotting','creating_vm','switching_volume','powering_on','completed','failed','cleanup','reverting') NOT NULL DEFAULT 'pending',
  source_vm_name VARCHAR(255) NOT NULL,
  source_vm_spec TEXT,
  destination_vm_id VARCHAR(255),
  ossea_snapshot_id VARCHAR(255),
  linstor_snapshot_name VARCHAR(255),
  linstor_config_id INT,
  network_mappings TEXT,
  error_message TEXT,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  started_at TIMESTAMP NULL,
  completed_at TIMESTAMP NULL,
  INDEX (vm_id), INDEX (job_type), INDEX (status),
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE device_mappings (
  id VARCHAR(36) PRIMARY KEY,
  vm_context_id VARCHAR(64),
  volume_uuid VARCHAR(64) UNIQUE,
  operation_mode ENUM('oma','failover') DEFAULT 'oma',
  device_path VARCHAR(255) NOT NULL UNIQUE,
  FOREIGN KEY (vm_context_id) REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE
) ENGINE=InnoDB;
