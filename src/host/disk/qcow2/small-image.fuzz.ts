import { deflateRawSync } from 'node:zlib';

const CLUSTER = 512;

/**
 * A sound qcow2 image with every kind of cluster, made by hand. Clusters of 512 bytes: 0 header, 1 counts' table,
 * 2 counts, 3 L1, 4 L2, then data. The guest's disk has 80 clusters, the second L2 table is missing.
 */
export function smallImage(version: 2 | 3): Uint8Array {
  const image = Buffer.alloc(9 * CLUSTER);
  image.writeUInt32BE(0x5146_49fb, 0);
  image.writeUInt32BE(version, 4);
  image.writeUInt32BE(9, 20);
  image.writeBigUInt64BE(BigInt(80 * CLUSTER), 24);
  image.writeUInt32BE(2, 36);
  image.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  image.writeBigUInt64BE(BigInt(CLUSTER), 48);
  image.writeUInt32BE(1, 56);
  if (version === 3) {
    image.writeUInt32BE(4, 96);
    image.writeUInt32BE(104, 100);
  }
  image.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  // 7 has a second reference, as from a snapshot, which the test image does without.
  [1, 1, 1, 1, 1, 1, 1, 2, 1].forEach((count, cluster) => void image.writeUInt16BE(count, 2 * CLUSTER + cluster * 2));
  const copied = 1n << 63n;
  image.writeBigUInt64BE(copied | BigInt(4 * CLUSTER), 3 * CLUSTER);
  const compressed = deflateRawSync(Buffer.alloc(CLUSTER, 'compressed '));
  compressed.copy(image, 8 * CLUSTER);
  const entries = [
    copied | BigInt(5 * CLUSTER),
    copied | BigInt(6 * CLUSTER),
    BigInt(7 * CLUSTER),
    0n,
    (1n << 62n) | BigInt(8 * CLUSTER),
    version === 3 ? 1n : 0n,
  ];
  entries.forEach((entry, index) => void image.writeBigUInt64BE(entry, 4 * CLUSTER + index * 8));
  for (const cluster of [5, 6, 7]) image.fill(cluster, cluster * CLUSTER, (cluster + 1) * CLUSTER);
  return image;
}
