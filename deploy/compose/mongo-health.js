// Whether MongoDB takes writes, for mongosh. A server that belongs to no replica set becomes the only
// member of one first, so that this may run as often as it likes.
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongo:27017" }] });
}
quit(db.hello().isWritablePrimary ? 0 : 1);
