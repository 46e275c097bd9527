/* mesh.h - mesh files to triangles: OFF, STL (binary and ASCII) and the geometry of OBJ.
 *
 * Pure functions over bytes. Every error is ERR_UNPROCESSABLE (or ERR_NO_MEMORY) and names what is
 * broken and the line, or for binary STL the triangle. Arrays grow with what was really read,
 * whatever the file announces, up to LIMIT_MESH_VERTICES and LIMIT_MESH_TRIANGLES; linear time.
 *
 * Polygons become fans around their first corner; those of one or two corners have no area and are
 * dropped. A mesh has at least one vertex; it may have no triangles (a cloud of points).
 */
#ifndef STRIDED_MESH_H
#define STRIDED_MESH_H

#include <stddef.h>

#include "voxel.h"

enum mesh_format { MESH_UNKNOWN, MESH_OFF, MESH_STL_BINARY, MESH_STL_TEXT, MESH_OBJ };

/* What the bytes begin like; names and media types play no part. */
enum mesh_format mesh_sniff(const void *bytes, size_t size);

/* Reads whichever it is. On success the caller clears *mesh (cnn_mesh_clear); on failure it is
 * empty. */
bool mesh_parse(const void *bytes, size_t size, struct cnn_mesh *mesh, struct err *e);

#endif
