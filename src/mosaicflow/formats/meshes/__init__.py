"""Triangle meshes: obj, off, ply, stl, gltf, vtu, legacy vtk, tsi and q."""
