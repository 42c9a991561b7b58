-- G1, as documented in 2025-08: no contexts, words in VARCHAR columns, one mapping for each source network,
-- a sync history that names no disk.
CREATE TABLE ossea_configs (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(255) NOT NULL UNIQUE,
  api_url VARCHAR(512) NOT NULL DEFAULT '',
  api_key VARCHAR(512) NOT NULL DEFAULT '',
  secret_key VARCHAR(512) NOT NULL DEFAULT '',
  domain VARCHAR(255),
  zone VARCHAR(255),
  template_id VARCHAR(255),
  network_id VARCHAR(255),
  service_offering_id VARCHAR(255),
  disk_offering_id VARCHAR(255),
  oma_vm_id VARCHAR(255),
  is_active BOOLEAN DEFAULT TRUE
) ENGINE=InnoDB;

CREATE TABLE replication_jobs (
  id VARCHAR(255) PRIMARY KEY,
  source_vm_id VARCHAR(255) NOT NULL,
  source_vm_name VARCHAR(255) NOT NULL,
  source_vm_path VARCHAR(255) NOT NULL DEFAULT '',
  vcenter_host VARCHAR(255) NOT NULL DEFAULT '',
  datacenter VARCHAR(255) NOT NULL DEFAULT '',
  replication_type VARCHAR(255) NOT NULL DEFAULT '',
  status VARCHAR(50) DEFAULT 'pending',
  progress_percent DOUBLE DEFAULT 0,
  change_id TEXT,
  ossea_config_id INT,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  INDEX (source_vm_id),
  FOREIGN KEY (ossea_config_id) REFERENCES ossea_configs (id)
) ENGINE=InnoDB;

CREATE TABLE ossea_volumes (
  id INT AUTO_INCREMENT PRIMARY KEY,
  volume_id VARCHAR(255) UNIQUE,
  volume_name VARCHAR(255),
  size_gb BIGINT,
  ossea_config_id INT,
  volume_type VARCHAR(255),
  status VARCHAR(50),
  FOREIGN KEY (ossea_config_id) REFERENCES ossea_configs (id)
) ENGINE=InnoDB;

CREATE TABLE vm_disks (
  id INT AUTO_INCREMENT PRIMARY KEY,
  job_id VARCHAR(255),
  disk_id VARCHAR(255),
  vmdk_path TEXT,
  size_gb INT,
  datastore VARCHAR(255),
  unit_number INT DEFAULT 0,
  label VARCHAR(255),
  provisioning_type VARCHAR(50),
  ossea_volume_id INT,
  disk_change_id TEXT,
  sync_status VARCHAR(50),
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
  created_at TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3),
  FOREIGN KEY (job_id) REFERENCES replication_jobs (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE cbt_history (
  id INT AUTO_INCREMENT PRIMARY KEY,
  job_id VARCHAR(255),
  change_id TEXT,
  sync_success BOOLEAN,
  bytes_synced BIGINT,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (job_id) REFERENCES replication_jobs (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE network_mappings (
  id INT AUTO_INCREMENT PRIMARY KEY,
  vm_id VARCHAR(255) NOT NULL,
  source_network_name VARCHAR(255) NOT NULL,
  destination_network_id VARCHAR(255) NOT NULL,
  destination_network_name VARCHAR(255) NOT NULL,
  is_test_network BOOLEAN DEFAULT FALSE,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY unique_vm_network (vm_id, source_network_name)
) ENGINE=InnoDB;

CREATE TABLE failover_jobs (
  id INT AUTO_INCREMENT PRIMARY KEY,
  job_id VARCHAR(255) UNIQUE NOT NULL,
  vm_id VARCHAR(255) NOT NULL,
  replication_job_id VARCHAR(255),
  job_type VARCHAR(50) NOT NULL,
  status VARCHAR(50) DEFAULT 'pending',
  source_vm_name VARCHAR(255) NOT NULL,
  source_vm_spec TEXT,
  destination_vm_id VARCHAR(255),
  ossea_snapshot_id VARCHAR(255),
  network_mappings TEXT,
  error_message TEXT,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  started_at TIMESTAMP NULL,
  completed_at TIMESTAMP NULL,
  INDEX (vm_id), INDEX (replication_job_id), INDEX (status)
) ENGINE=InnoDB;
