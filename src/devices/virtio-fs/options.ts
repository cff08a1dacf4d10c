/** What the guest mounts a share by: `mount -t virtiofs TAG /mnt`. At most 36 bytes in UTF-8, not empty, no NUL. */
export type ShareTag = string;

export const SHARE_TAG_BYTES_MAX = 36;

/** The tag of the share that holds the guest's root directory. */
export const ROOT_TAG: ShareTag = '/dev/root';

/** Why a tag cannot be used, or undefined if it can. */
export function shareTagProblem(tag: string): string | undefined {
  const length = new TextEncoder().encode(tag).length;
  if (length === 0) return 'tag is empty';
  if (length > SHARE_TAG_BYTES_MAX) return `tag has ${length} bytes, at most ${SHARE_TAG_BYTES_MAX} fit`;
  return tag.includes('\0') ? 'tag contains a NUL' : undefined;
}
