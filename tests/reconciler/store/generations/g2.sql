-- G2, as an object mapper made it: columns of its own naming (v_center_host, vm_dk_path), LONGTEXT ids that have no index,
-- DATETIME(3) without zone, bits for booleans, one table with another collation. G2' is the same with the documented names.
CREATE TABLE ossea_configs (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(191) NOT NULL UNIQUE,
  api_url LONGTEXT,
  api_key LONGTEXT,
  secret_key LONGTEXT,
  domain LONGTEXT,
  zone LONGTEXT,
  template_id LONGTEXT,
  network_id LONGTEXT,
  service_offering_id LONGTEXT,
  disk_offering_id LONGTEXT,
  oma_vm_id LONGTEXT,
  is_active BIT(1) DEFAULT b'1'
) ENGINE=InnoDB;

CREATE TABLE replication_jobs (
  id VARCHAR(191) PRIMARY KEY,
  source_vm_id LONGTEXT NOT NULL,
  source_vm_name LONGTEXT NOT NULL,
  source_vm_path LONGTEXT NOT NULL DEFAULT '',
  v_center_host LONGTEXT NOT NULL DEFAULT '',
  datacenter LONGTEXT NOT NULL DEFAULT '',
  replication_type LONGTEXT NOT NULL DEFAULT '',
  status VARCHAR(191) DEFAULT 'pending',
  progress_percent DOUBLE DEFAULT 0,
  change_id LONGTEXT,
  ossea_config_id BIGINT,
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL
) ENGINE=InnoDB COLLATE utf8mb4_unicode_ci;

CREATE TABLE ossea_volumes (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  volume_id VARCHAR(191) UNIQUE,
  volume_name LONGTEXT,
  size_gb BIGINT,
  ossea_config_id BIGINT,
  volume_type LONGTEXT,
  status VARCHAR(191),
  snapshot_id VARCHAR(191)
) ENGINE=InnoDB;

CREATE TABLE vm_disks (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  job_id LONGTEXT,
  disk_id LONGTEXT,
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
  updated_at DATETIME(3) NULL
) ENGINE=InnoDB;

CREATE TABLE cbt_history (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  job_id LONGTEXT NOT NULL,
  disk_id LONGTEXT NOT NULL,
  change_id LONGTEXT,
  sync_type LONGTEXT,
  sync_success BIT(1),
  created_at DATETIME(3) NULL
) ENGINE=InnoDB;

CREATE TABLE network_mappings (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  vm_id VARCHAR(191) NOT NULL,
  source_network_name VARCHAR(191) NOT NULL,
  destination_network_id LONGTEXT NOT NULL,
  destination_network_name LONGTEXT NOT NULL,
  is_test_network BIT(1) DEFAULT b'0',
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  UNIQUE KEY idx_vm_network_kind (vm_id, source_network_name, is_test_network)
) ENGINE=InnoDB;

CREATE TABLE failover_jobs (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  job_id VARCHAR(191) UNIQUE NOT NULL,
  vm_id LONGTEXT NOT NULL,
  replication_job_id LONGTEXT,
  job_type LONGTEXT NOT NULL,
  status VARCHAR(191) DEFAULT 'pending',
  source_vm_name LONGTEXT NOT NULL,
  source_vm_spec LONGTEXT,
  destination_vm_id LONGTEXT,
  ossea_snapshot_id LONGTEXT,
  network_mappings LONGTEXT,
  error_message LONGTEXT,
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  started_at DATETIME(3) NULL,
  completed_at DATETIME(3) NULL
) ENGINE=InnoDB;
