import { compareWithHost } from './beside.ts';

/** The same bytes on both sides: text that repeats itself a little, then noise. */
const MAKE_DATA = `awk 'BEGIN { for (i = 0; i < 20000; i++) print i, (i * 7919) % 10007, "line " i % 13 }' >data
for i in 1 2 3 4 5 6; do sha512sum data data | tr -d ' -' >>noise; echo $i >>data; done; cat noise >>data\n`;

const roundTrip = (program: string, pack: string, unpack: string) => ({
  title: `${program} packs to the host's bytes and back`,
  needs: [program, 'awk', 'sha256sum'],
  script: `${MAKE_DATA}${pack} <data >packed && ${unpack} <packed >back && cmp data back && sha256sum packed back`,
});

await compareWithHost([
  roundTrip('gzip', 'gzip -9n', 'gzip -d'),
  roundTrip('xz', 'xz -3 -T1', 'xz -d'),
  roundTrip('zstd', 'zstd -q -5 -T1', 'zstd -qd'),
  roundTrip('bzip2', 'bzip2 -5', 'bzip2 -d'),
  {
    title: 'tar keeps names, modes, links and times, and its archive is the one of the host',
    needs: ['tar', 'sha256sum'],
    script: `mkdir -p tree/a/b; i=0; while [ $i -lt 60 ]; do echo "file $i" >tree/a/f$i; i=$((i + 1)); done
chmod 750 tree/a/b; chmod 4711 tree/a/f1; ln tree/a/f2 tree/hard; ln -s a/f3 tree/soft; mkfifo tree/fifo; echo x >"tree/a b\tč"
find tree -exec touch -h -d '2001-02-03 04:05:06.789' {} +
tar --sort=name --format=posix --pax-option=delete=atime,delete=ctime -cf t.tar tree && sha256sum t.tar
mkdir out && tar -xpf t.tar -C out && (cd out && find . -printf '%P %M %n %U %G %s %T@ %l\\n' | grep -v '^ ' | sort)`,
  },
  {
    title: 'openssl digests, ciphers and signatures are those of the host',
    needs: ['openssl', 'awk'],
    script: `${MAKE_DATA}
for digest in md5 sha1 sha256 sha512 sha3-256 blake2b512 ripemd160; do openssl dgst -$digest data; done
for cipher in aes-128-cbc aes-256-ctr aes-256-cbc camellia-128-cbc chacha20 aria-128-cbc; do
  openssl enc -$cipher -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 0f0e0d0c0b0a09080706050403020100 -in data -out enc 2>/dev/null || openssl enc -$cipher -K 000102030405060708090a0b0c0d0e0f -iv 0f0e0d0c0b0a09080706050403020100 -in data -out enc
  echo $cipher; sha256sum <enc
done
printf %s secret | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b0b0b
openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:pw -kdfopt salt:na -kdfopt iter:100 PBKDF2
printf -- '-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\\n-----END PRIVATE KEY-----\\n' >key
openssl pkey -in key -pubout; openssl pkeyutl -sign -inkey key -rawin -in noise -out sig && sha256sum <sig
openssl prime -generate -bits 64 >/dev/null && openssl prime 170141183460469231731687303715884105727
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key && openssl dgst -sha256 -sign ec.key -out ec.sig data && openssl pkey -in ec.key -pubout -out ec.pub && openssl dgst -sha256 -verify ec.pub -signature ec.sig data`,
  },
  {
    title: 'git commits have the hashes of the host, and its repository is sound',
    needs: ['git'],
    script: `export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@d GIT_AUTHOR_DATE='1234567890 +0000' GIT_COMMITTER_DATE='1234567890 +0000' GIT_CONFIG_NOSYSTEM=1
git init -q -b main r && cd r && mkdir d && i=0; while [ $i -lt 30 ]; do echo "line $i" >d/f$i; i=$((i + 1)); done; ln -s d/f1 link; chmod +x d/f2
git add -A && git commit -qm first && sed -i 's/line/LINE/' d/f3 && git mv d/f4 moved && git commit -qam second
git checkout -qb side HEAD~1 && echo side >d/f5 && git commit -qam side && git checkout -q main && git merge -q --no-edit side
git log --format='%H %T %s' --stat; git status --short; git diff HEAD~1 --stat; git gc -q; git fsck --full --strict 2>&1; git ls-files -s; git count-objects -v | grep in-pack`,
  },
  {
    title: 'sqlite3 answers as on the host, and its file is the same',
    needs: ['sqlite3'],
    script: `sqlite3 db <<'EOF'
create table t(id integer primary key, name text, score real); create index i on t(score);
with recursive n(v) as (select 1 union all select v + 1 from n where v < 2000) insert into t select v, 'name' || (v * 7919 % 1009), v * 1.7 / (v % 13 + 1) from n;
select count(*), sum(score), avg(score), min(name), max(score) from t; select name, count(*), total(score) from t group by name order by 2 desc, 1 limit 10;
begin; delete from t where id % 3 = 0; rollback; update t set score = round(sqrt(score), 6) where id % 5 = 0; select sum(score), group_concat(id) from t where score between 3 and 3.3;
select json_group_array(id), hex(name) from t where id < 5; select printf('%.15g', 1e300 * 7 / 3), 0.1 + 0.2, strftime('%J', '2024-02-29 12:34:56.789'); pragma integrity_check;
EOF
sqlite3 db 'pragma journal_mode=wal; insert into t values (9999, null, null); select count(*) from t; pragma wal_checkpoint(truncate)'; sqlite3 db .dump | sha256sum`,
  },
]);
