/**
 * Names of secrets and of their keys, as Kubernetes has them; both are safe as names of files.
 */

export function isSecretName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(name);
}

export function isSecretKey(key: string): boolean {
  return key.length <= 253 && /^[A-Za-z0-9._-]+$/.test(key) && !/^\.\.?$/.test(key);
}
